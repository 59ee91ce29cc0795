package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/store"
)

// Paging asks for a page of a list.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"500" doc:"How many entries there are on the page at most"`
	Cursor string `query:"cursor" maxLength:"4096" doc:"next of the page before; empty: the first page"`

	url url.URL
}

func (p *Paging) Resolve(ctx huma.Context) []error {
	p.url = ctx.URL()
	return nil
}

// noSuchPage is what a list answers beside its pages.
var noSuchPage = []int{http.StatusNotFound}

// Next is where a list goes on.
type Next struct {
	Next *string `json:"next" doc:"The cursor of the next page, which begins behind this one's last entry, whatever has come or gone meanwhile; null: this is the last page"`
}

// cursor is a place in a list of that name. Clients don't look into it.
type cursor[Place any] struct {
	List  string
	Place Place
}

func (c cursor[Place]) String() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // places are texts and numbers
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// pageOf is the page of a list that is asked for, and one entry more, by which turned
// knows that there is a page behind it.
func pageOf[Place any](p Paging, list string) (store.Page[Place], error) {
	page := store.Page[Place]{Limit: p.Limit + 1}
	if p.Cursor == "" {
		return page, nil
	}
	var c cursor[Place]
	text, err := base64.RawURLEncoding.Strict().DecodeString(p.Cursor)
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(&c)
	}
	if err != nil || c.List != list {
		return page, huma.Error404NotFound("there is no such page: cursor is not the next of a page of this list")
	}
	page.After = &c.Place
	return page, nil
}

// turned is a page of a list, without the entry more that pageOf asked for, and how to
// turn it.
func turned[Entry, Place any](p Paging, list string, entries []Entry, place func(Entry) Place) (page []Entry, link string, to Next) {
	if len(entries) <= p.Limit {
		return entries, "", Next{}
	}
	entries = entries[:p.Limit]
	following := cursor[Place]{list, place(entries[p.Limit-1])}.String()
	query := p.url.Query()
	query.Set("cursor", following)
	return entries, "<" + p.url.EscapedPath() + "?" + query.Encode() + `>; rel="next"`, Next{&following}
}
