package configfile

import (
	"regexp"
	"strings"
)

// The parser makes a hundred times as much of a text as that is long. So a long file is
// parsed piece by piece: some keys of a mapping at a time, or some items of a list. Where
// one begins is seen by the indentation, if each line stands for itself; a file in which
// that isn't so, or in which anything is wrong, is parsed as a whole.

const (
	// pieceBytes is about how much is parsed at a time.
	pieceBytes = 16 << 10
	// maxTaken is how many levels are taken apart: enough for a list in each of a list of
	// devices or feeders.
	maxTaken = 4
)

// beginsKey is what begins a key of a mapping, behind its indentation.
var beginsKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*:(?: |$)`)

// inPieces is the tree of the file's lines, of about so many bytes of which parse makes a
// tree at a time; false if they have to be parsed as a whole.
func (f *File) inPieces(size int, parse func(text string) *node) (*node, bool) {
	from := 0
	for from < len(f.lines)-1 && blank(f.lines[from]) {
		from++
	}
	if f.lines[from] == "---" {
		from++
	}
	if !plainlyWritten(f.lines[from:]) {
		return nil, false
	}
	p := pieces{File: f, size: size, parse: parse, ends: make([]int, len(f.lines)+1)}
	for i, line := range f.lines {
		p.ends[i+1] = p.ends[i] + len(line) + 1
	}
	n, ok := p.mapping(from, len(f.lines), 0, 0)
	f.before, f.above, f.absent = 0, 0, 0
	if !ok || p.failed {
		f.errs, f.broken = nil, map[string]bool{}
		return nil, false
	}
	return n, true
}

type pieces struct {
	*File
	size   int
	parse  func(text string) *node
	ends   []int // where the line before each ends
	failed bool  // the whole has to be parsed
}

// mapping is that of the lines from and up to, whose keys have this indentation and stand
// below so many levels.
func (p *pieces) mapping(from, to, indent, above int) (*node, bool) {
	if above >= maxTaken {
		return nil, false
	}
	starts, ok := p.starts(from, to, indent, func(rest string) bool { return beginsKey.MatchString(rest) })
	if !ok {
		return nil, false
	}
	n, index := &node{kind: mapping}, keyIndex(nil)
	ok = p.each(starts, to, func(from, to int) bool {
		piece, ok := p.list(from, to, indent, above)
		if !ok {
			piece, ok = p.parsed(from, to, above, mapping)
		}
		if !ok {
			return false
		}
		for _, e := range piece.entries {
			if index.find(n, e.key) != nil || len(n.entries) == maxKeys {
				p.failed = true
				return false
			}
			index.add(n, e)
		}
		return true
	})
	if ok {
		n.position = n.entries[0].value.key
	}
	return n, ok
}

// list is the mapping of the lines if that has one key, with a long list; else false.
func (p *pieces) list(from, to, indent, above int) (*node, bool) {
	if p.length(from, to) < p.size {
		return nil, false
	}
	key, rest, _ := strings.Cut(strings.TrimLeft(p.lines[from], " "), ":")
	if !blank(rest) {
		return nil, false
	}
	first := from + 1
	for first < to && blank(p.lines[first]) {
		first++
	}
	if first == to || indentOf(p.lines[first]) < indent {
		return nil, false
	}
	items := indentOf(p.lines[first])
	if items > indent {
		above++
	}
	starts, ok := p.starts(first, to, items, func(rest string) bool { return strings.HasPrefix(rest, "- ") })
	if !ok {
		return nil, false
	}
	n := &node{kind: list, position: p.at(first, items), key: p.at(from, indent)}
	ok = p.each(starts, to, func(from, to int) bool {
		piece, ok := p.item(from, to, items, above)
		if !ok {
			piece, ok = p.parsed(from, to, above, list)
		}
		if ok {
			n.entries = append(n.entries, piece.entries...)
		}
		return ok
	})
	return &node{kind: mapping, entries: []entry{{key, n}}}, ok
}

// item is the list of the lines if that has one item, which is a long mapping; else false.
func (p *pieces) item(from, to, indent, above int) (*node, bool) {
	written := p.lines[from]
	if p.length(from, to) < p.size || !beginsKey.MatchString(written[indent+2:]) {
		return nil, false
	}
	p.lines[from] = written[:indent] + "  " + written[indent+2:]
	defer func() { p.lines[from] = written }()
	n, ok := p.mapping(from, to, indent+2, above+1)
	return &node{kind: list, entries: []entry{{value: n}}}, ok
}

// starts are the lines that begin something at the indentation; false if anything else is
// there, or further left.
func (p *pieces) starts(from, to, indent int, begins func(rest string) bool) (starts []int, ok bool) {
	for i := from; i < to; i++ {
		line := p.lines[i]
		switch at := indentOf(line); {
		case blank(line), at > indent && starts != nil:
		case at == indent && begins(line[at:]):
			starts = append(starts, i)
		case at == indent && starts != nil && strings.HasPrefix(line[at:], "- "): // an item of the key before
		default:
			return nil, false
		}
	}
	return starts, starts != nil
}

// each calls do with the lines of as many of those that begin somewhere as make a piece.
func (p *pieces) each(starts []int, to int, do func(from, to int) bool) bool {
	from, length := starts[0], 0
	for i, start := range starts {
		end := to
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		if more := p.length(start, end); start > from && length+more > p.size {
			if !do(from, start) {
				return false
			}
			from, length = start, more
		} else {
			length += more
		}
	}
	return do(from, to)
}

// parsed is what the parser makes of lines below so many levels, if that is of the kind.
func (p *pieces) parsed(from, to, above int, want kind) (*node, bool) {
	if p.failed {
		return nil, false
	}
	p.before, p.above = from, above
	n := p.parse(strings.Join(p.lines[from:to], "\n") + "\n")
	p.failed = n == nil || n.kind != want || len(p.errs) > 0
	return n, !p.failed
}

func (p *pieces) length(from, to int) (bytes int) { return p.ends[to] - p.ends[from] }

func (p *pieces) at(line, indent int) position { return position{int32(line + 1), int32(indent + 1)} }

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// blank reports whether there is nothing in a line but a comment.
func blank(line string) bool {
	text := strings.TrimLeft(line, " ")
	return text == "" || text[0] == '#'
}
