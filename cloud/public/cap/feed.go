package cap

import (
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"time"
)

// Feed is a list of alerts for those who look whether there are new ones.
type Feed struct {
	Title, Author string
	Language      string // of its titles, after BCP 47
	Base          string // the address of its directory, ending in /; "": links are relative
	Self          string // its own name in the directory
	Updated       time.Time
	Entries       []Entry // newest first
}

// Entry is an alert of a feed.
type Entry struct {
	Identifier     string
	Title, Summary string
	Link           string // of the alert, from the directory
	Published      time.Time
}

type feedXML struct {
	XMLName xml.Name   `xml:"http://www.w3.org/2005/Atom feed"`
	Base    string     `xml:"xml:base,attr,omitempty"`
	Lang    string     `xml:"xml:lang,attr,omitempty"`
	ID      string     `xml:"id"`
	Title   string     `xml:"title"`
	Updated string     `xml:"updated"`
	Author  string     `xml:"author>name"`
	Links   []linkXML  `xml:"link"`
	Entries []entryXML `xml:"entry"`
}

type linkXML struct {
	Rel  string `xml:"rel,attr,omitempty"`
	Type string `xml:"type,attr,omitempty"`
	Href string `xml:"href,attr"`
}

type entryXML struct {
	ID        string  `xml:"id"`
	Title     string  `xml:"title"`
	Updated   string  `xml:"updated"`
	Published string  `xml:"published"`
	Summary   string  `xml:"summary,omitempty"`
	Link      linkXML `xml:"link"`
}

// MediaType is that of an alert.
const MediaType = "application/cap+xml"

// XML is the feed as it is published.
func (f Feed) XML() ([]byte, error) {
	out := feedXML{Base: f.Base, Lang: f.Language, ID: urn(f.Base + f.Author + f.Title), Title: f.Title, Updated: f.Updated.UTC().Format(time.RFC3339), Author: f.Author,
		Links: []linkXML{{Rel: "self", Type: "application/atom+xml", Href: f.Self}}}
	for _, e := range f.Entries {
		at := e.Published.UTC().Format(time.RFC3339)
		out.Entries = append(out.Entries, entryXML{ID: urn(e.Identifier), Title: e.Title, Updated: at, Published: at, Summary: e.Summary,
			Link: linkXML{Rel: "alternate", Type: MediaType, Href: e.Link}})
	}
	text, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cap: feed: %w", err)
	}
	return append([]byte(xml.Header), append(text, '\n')...), nil
}

// urn is an id that is the same for the same name: a UUID of version 8.
func urn(name string) string {
	b := sha256.Sum256([]byte(name))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
