// Package topic is the topics of Sparkplug B 3.0 (chapter 4 of its specification), and
// what is said under those that have no payload of its own kind.
package topic

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Namespace is what all topics begin with.
const Namespace = "spBv1.0"

// Kind is the type of a message.
type Kind string

const (
	NBirth Kind = "NBIRTH"
	NData  Kind = "NDATA"
	NDeath Kind = "NDEATH"
	NCmd   Kind = "NCMD"
	DBirth Kind = "DBIRTH"
	DData  Kind = "DDATA"
	DDeath Kind = "DDEATH"
	DCmd   Kind = "DCMD"
)

// Topic is that of a message of, or for, an edge node or one of its devices.
type Topic struct {
	Kind        Kind
	Group, Node string
	Device      string // "" of a message of the node itself
}

func (t Topic) String() string {
	parts := []string{Namespace, t.Group, string(t.Kind), t.Node}
	if t.Device != "" {
		parts = append(parts, t.Device)
	}
	return strings.Join(parts, "/")
}

// Parse reads a topic; ok is false if it is none of an edge node.
func Parse(text string) (t Topic, ok bool) {
	parts := strings.Split(text, "/")
	if len(parts) < 4 || len(parts) > 5 || parts[0] != Namespace {
		return Topic{}, false
	}
	t = Topic{Kind: Kind(parts[2]), Group: parts[1], Node: parts[3]}
	if len(parts) == 5 {
		t.Device = parts[4]
	}
	for _, part := range parts[1:] {
		if part == "" {
			return Topic{}, false
		}
	}
	switch t.Kind {
	case NBirth, NData, NDeath, NCmd:
		return t, t.Device == ""
	case DBirth, DData, DDeath, DCmd:
		return t, t.Device != ""
	}
	return Topic{}, false
}

// CheckID reports what is wrong with the id of a group, a node, a device or a host
// application (4.1).
func CheckID(id string) error {
	switch {
	case id == "":
		return errors.New("expected a name that isn't empty")
	case len(id) > 256:
		return errors.New("expected at most 256 bytes")
	case !utf8.ValidString(id) || strings.ContainsAny(id, "+#/\x00"):
		return errors.New("expected a name without +, # and /")
	}
	return nil
}
