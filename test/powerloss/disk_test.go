package powerloss

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// disk is what a file system may have on its medium: what was synced for
// certain, and of everything since then any part.
//
// A file's content is certain up to its last fsync or fdatasync; later writes
// may be there or not, each for itself and each sector for itself, and so may
// later changes of the size. A directory's entries are certain up to its last
// fsync; of the later changes of one directory any first few may have happened.
// Syncing a file promises nothing about its name. That is what POSIX promises;
// ext4 and XFS promise more.
type disk struct {
	names   map[string]*node // certain
	pending []naming
	now     map[string]*node // as processes see it
	open    map[int]*node
}

// node is a file, or with dir set, a directory.
type node struct {
	dir     bool
	path    string // of a directory
	content []byte // certain
	changes []change
}

// change is a write, or with data nil a new size.
type change struct {
	at   int64
	data []byte
}

// naming is a change of a directory's entries.
type naming struct {
	dir  string
	gone string // a name that ends
	name string // a name that begins, for node
	node *node
}

func newDisk() *disk {
	return &disk{names: map[string]*node{}, now: map[string]*node{}, open: map[int]*node{}}
}

// apply takes the next event in; it is false if nothing on the medium can differ
// by it.
func (d *disk) apply(e event) (changed bool, err error) {
	switch e.kind {
	case "say":
	case "open", "create":
		n := d.now[e.path]
		if n == nil && e.kind == "open" {
			return false, fmt.Errorf("%s was never created", e.path)
		}
		if n == nil {
			n = &node{}
			d.name(naming{name: e.path, node: n})
			changed = true
		} else if e.fresh && !n.dir {
			n.changes = append(n.changes, change{at: 0})
			changed = true
		}
		d.open[e.file] = n
	case "write":
		n := d.open[e.file]
		n.changes = append(n.changes, change{e.at, e.data})
		return true, nil
	case "truncate":
		n := d.open[e.file]
		n.changes = append(n.changes, change{at: e.at})
		return true, nil
	case "sync":
		d.sync(d.open[e.file])
		return true, nil
	case "rename":
		n := d.now[e.path]
		if n == nil || n.dir || filepath.Dir(e.path) != filepath.Dir(e.to) {
			return false, fmt.Errorf("the model doesn't know how to rename %s to %s", e.path, e.to)
		}
		d.name(naming{gone: e.path, name: e.to, node: n})
		return true, nil
	case "unlink":
		d.name(naming{gone: e.path})
		return true, nil
	case "mkdir":
		d.name(naming{name: e.path, node: &node{dir: true, path: e.path}})
		return true, nil
	default:
		return false, fmt.Errorf("the model doesn't know %s", e.kind)
	}
	return changed, nil
}

func (d *disk) name(n naming) {
	n.dir = filepath.Dir(n.name + n.gone)
	if n.name != "" {
		n.dir = filepath.Dir(n.name)
	}
	n.to(d.now)
	d.pending = append(d.pending, n)
}

func (n naming) to(names map[string]*node) {
	if n.gone != "" {
		delete(names, n.gone)
	}
	if n.name != "" {
		names[n.name] = n.node
	}
}

func (d *disk) sync(n *node) {
	if !n.dir {
		n.content = applied(n.content, n.changes)
		n.changes = nil
		return
	}
	d.pending = slices.DeleteFunc(d.pending, func(p naming) bool {
		if p.dir != n.path {
			return false
		}
		p.to(d.names)
		return true
	})
}

func applied(content []byte, changes []change) []byte {
	for _, c := range changes {
		size := int(c.at)
		if c.data != nil {
			size = max(len(content), size+len(c.data))
		}
		if size > len(content) {
			content = append(content, make([]byte, size-len(content))...)
		}
		content = content[:size]
		copy(content[c.at:], c.data)
	}
	return content
}

// variants are the ways in which a cut treats what wasn't synced.
var variants = []string{"nothing", "some", "the last write torn", "everything", "some", "data only", "names only", "some"}

const sector = 512

// cut is a state of the medium after losing power now.
func (d *disk) cut(variant string, random *rand.Rand) map[string][]byte {
	names := maps.Clone(d.names)
	left := map[string]int{} // of a directory's changes
	for _, n := range d.pending {
		left[n.dir]++
	}
	for _, dir := range slices.Sorted(maps.Keys(left)) {
		switch variant {
		case "nothing", "data only":
			left[dir] = 0
		case "some":
			left[dir] = random.IntN(left[dir] + 1)
		}
	}
	for _, n := range d.pending {
		if left[n.dir] > 0 {
			n.to(names)
			left[n.dir]--
		}
	}
	state := map[string][]byte{}
	for _, path := range slices.Sorted(maps.Keys(names)) {
		n := names[path]
		switch {
		case n.dir:
			state[path] = nil
		case variant == "nothing" || variant == "names only":
			state[path] = append([]byte{}, n.content...)
		default:
			state[path] = applied(append([]byte{}, n.content...), surviving(n.changes, variant, random))
		}
	}
	return state
}

// surviving is what a cut leaves of a file's changes since its last sync.
func surviving(changes []change, variant string, random *rand.Rand) (out []change) {
	for i, c := range changes {
		torn := variant == "some" && random.IntN(3) == 0 || variant == "the last write torn" && i == len(changes)-1
		switch {
		case variant == "some" && random.IntN(2) == 0:
		case torn && c.data != nil:
			for at := 0; at < len(c.data); at += sector {
				if random.IntN(2) == 0 {
					out = append(out, change{c.at + int64(at), c.data[at:min(at+sector, len(c.data))]})
				}
			}
		case torn:
		default:
			out = append(out, c)
		}
	}
	return out
}

// lay writes a state below to, which takes the place of the directory from.
// What has no directory any more is gone with it.
func lay(state map[string][]byte, from, to string) error {
	for _, path := range slices.Sorted(maps.Keys(state)) {
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if state[path] == nil {
			if err := os.Mkdir(target, 0o700); err != nil && !os.IsNotExist(err) && !os.IsExist(err) {
				return err
			}
			continue
		}
		if _, err := os.Stat(filepath.Dir(target)); err != nil {
			continue
		}
		if err := os.WriteFile(target, state[path], 0o600); err != nil {
			return err
		}
	}
	return nil
}
