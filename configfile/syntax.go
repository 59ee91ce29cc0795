package configfile

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on what is read. The parser recurses once for every level and for
// every key of a block mapping, and shifts all later tokens at every value that
// is left out, so these bound its stack and its time.
const (
	maxBytes  = 4 << 20
	maxDepth  = 64
	maxKeys   = 1000
	maxAbsent = 1000
)

// parse builds the tree of a file, or adds what keeps it from being read.
func (f *File) parse(src []byte) {
	whole := func(at position, format string, args ...any) { f.breakAt(at, "", format, args...) }
	if len(src) > maxBytes {
		whole(position{}, "the file has %d bytes, expected at most %d", len(src), maxBytes)
		return
	}
	text := strings.TrimPrefix(string(src), "\ufeff")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	f.lines = strings.Split(text, "\n")
	for i, line := range f.lines {
		for at, r := range line {
			if r == utf8.RuneError && !strings.HasPrefix(line[at:], "\ufffd") {
				whole(position{int32(i + 1), int32(utf8.RuneCountInString(line[:at]) + 1)}, "this is not UTF-8 text")
				return
			}
		}
	}

	if len(text) > 2*pieceBytes {
		if root, ok := f.inPieces(pieceBytes, f.tree); ok {
			f.root = root
			return
		}
	}
	f.root = f.tree(text + "\n") // the lexer drops a tag that ends with the file
}

// tree is the tree of a text, or nil if there is none or it can't be read, which it adds.
func (f *File) tree(text string) *node {
	tokens, err := guarded(func() (token.Tokens, error) { return lexer.Tokenize(text), nil })
	var tree *ast.File
	if err == nil {
		tokens = joinAddresses(tokens)
		if !f.acceptable(tokens) {
			return nil
		}
		tree, err = guarded(func() (*ast.File, error) { return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) })
	}
	if err != nil {
		at, message := position{}, ""
		// Only the message: Error would draw the file, in quadratic time.
		if located, ok := errors.AsType[yaml.Error](err); ok {
			message = located.GetMessage()
			if t := located.GetToken(); t != nil {
				at = f.place(t)
			}
		} else {
			message = err.Error()
		}
		f.breakAt(at, "", "this is not YAML: %s", plainSpeech(message))
		return nil
	}
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			return f.convert(doc.Body, "")
		}
	}
	return nil
}

// guarded calls the YAML library: should it panic, the file is at fault, and the
// program that reads it goes on.
func guarded[T any](call func() (T, error)) (out T, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("its structure can't be understood")
		}
	}()
	return call()
}

func (f *File) place(t *token.Token) position {
	return position{int32(f.before + t.Position.Line), int32(t.Position.Column)}
}

// plainSpeech replaces the parser's messages that name its inner state.
func plainSpeech(message string) string {
	for _, m := range [...]struct{ theirs, ours string }{
		{"found character '\t'", "a tab can't indent, expected spaces"},
		{"tab character cannot", "a tab can't stand here, expected spaces"},
		{"non-map value is specified", `expected "key: value"`},
		{"mapping value is not allowed", `a second ": " in one value; put the text in quotes`},
		{"value is not allowed in this context", "a value isn't expected here; check the indentation"},
		{"block sequence entries are not allowed", `a list entry begins on its key's line; put "- " on the next`},
		{"sequence end token ']' not found", `the list that begins here isn't closed, expected "]"`},
		{"could not find flow mapping end token", `the mapping that begins here isn't closed, expected "}"`},
		{"',' or ']' must be specified", `the list isn't closed here, expected "," or "]"`},
		{"',' or '}' must be specified", `the mapping isn't closed here, expected "," or "}"`},
		{"could not find flow map content", `expected "key: value" or "}"`},
		{"expected sequence element", "a comma without a value before it"},
		{"could not find end character of", "the quotes that begin here aren't closed"},
		{"found an invalid key for this map", "a key is expected before the colon"},
		{"unexpected key name", "a key must stand on one line"},
		{"map key definition includes an implicit line break", "a key must stand on one line"},
		{"cannot take map-key node", "this can't be a key"},
	} {
		if strings.Contains(message, m.theirs) {
			return m.ours
		}
	}
	return message
}

// acceptable adds an error for each token that this package doesn't read, and
// for nesting that would exhaust the parser.
func (f *File) acceptable(tokens token.Tokens) bool {
	reject := func(t *token.Token, format string, args ...any) {
		f.breakAt(f.place(t), "", format, args...)
	}
	type level struct{ column, keys int }
	var block []level
	var flow []token.Type // the brackets and braces that are open
	lastLine := 0
	glued := func(i int) bool { return len(flow) > 0 && i > 0 && plain(tokens[i-1]) && follows(tokens, i) }
	for i, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		switch t.Type {
		case token.TagType:
			reject(t, `"!" begins a YAML tag, which is not supported; if it begins text, put the text in quotes`)
		case token.AnchorType, token.AliasType:
			reject(t, `%q begins a YAML anchor or alias, which is not supported; write the value out, or put text in quotes`, t.Value)
		case token.MergeKeyType:
			reject(t, `"<<" is a YAML merge key, which is not supported; write the keys out`)
		case token.MappingKeyType:
			reject(t, `"?" begins a YAML complex key, which is not supported; write "key: value"`)
		case token.DirectiveType:
			reject(t, `"%%" begins a YAML directive, which is not supported; leave it out`)
		case token.DocumentHeaderType:
			if i > 0 && len(block) > 0 {
				reject(t, "a second document begins here, expected one document in a file")
			}
		case token.DocumentEndType:
			if i < len(tokens)-1 {
				reject(t, "the document ends here and more follows, expected one document in a file")
			}
		case token.MappingValueType:
			if glued(i) {
				reject(t, `":" needs a space behind it to end a key; if it is part of a text, put the text in quotes`)
			}
		case token.MappingStartType, token.SequenceStartType:
			flow = append(flow, t.Type)
		case token.MappingEndType, token.SequenceEndType:
			if len(flow) == 0 {
				reject(t, "%q closes nothing", t.Value)
				return false
			}
			flow = flow[:len(flow)-1]
		}

		first := t.Position.Line != lastLine
		lastLine = t.Position.Line
		if len(flow) == 0 && (first || t.Type == token.SequenceEntryType || len(block) > 0 && tokens[i-1].Type == token.SequenceEntryType) {
			column := t.Position.Column
			for len(block) > 0 && block[len(block)-1].column > column {
				block = block[:len(block)-1]
			}
			if len(block) == 0 || block[len(block)-1].column < column {
				block = append(block, level{column: column})
			}
		}
		inBraces := len(flow) > 0 && flow[len(flow)-1] == token.MappingStartType
		if leavesOut(tokens, i, inBraces) {
			f.absent++
		}
		if t.Type == token.MappingValueType && len(flow) == 0 && len(block) > 0 {
			block[len(block)-1].keys++
		}
		switch {
		case f.above+len(flow)+len(block) > maxDepth:
			reject(t, "values are nested deeper than %d levels", maxDepth)
			return false
		case f.absent > maxAbsent:
			reject(t, "more than %d keys and list entries have no value", maxAbsent)
			return false
		case len(block) > 0 && block[len(block)-1].keys > maxKeys:
			reject(t, "more than %d keys in one mapping", maxKeys)
			return false
		}
	}
	return len(f.errs) == 0
}

// leavesOut reports whether token i is followed by nothing where YAML has a
// value.
func leavesOut(tokens token.Tokens, i int, inBraces bool) bool {
	t := tokens[i]
	opens := t.Type == token.MappingValueType || t.Type == token.SequenceEntryType
	if i+1 == len(tokens) {
		return opens
	}
	next := tokens[i+1]
	switch next.Type {
	case token.CollectEntryType, token.MappingEndType, token.SequenceEndType:
		return opens || inBraces && i > 0 && (plain(t) || quoted(t)) && tokens[i-1].Type != token.MappingValueType
	}
	if !opens || next.Position.Line == t.Position.Line {
		return false
	}
	column := t.Position.Column
	if t.Type == token.MappingValueType && i > 0 {
		column = tokens[i-1].Position.Column // the key's, in which a list may stand below it
		if next.Type == token.SequenceEntryType {
			column--
		}
	}
	return next.Position.Column <= column
}
