package iceberg

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"

	"github.com/busbar/busbar/cloud/lake/object"
)

// Attached is the property of a snapshot that names a file which belongs to it.
const Attached = "busbar.state"

// expire deletes what only the snapshots used that the metadata doesn't name any more, and
// the versions before that. What it leaves behind when it is interrupted Clean finds.
func (t *Table) expire(ctx context.Context, dropped []snapshot) error {
	for _, s := range dropped {
		before, err := t.list(ctx, s)
		if errors.Is(err, object.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		after, err := t.list(ctx, t.meta.Snapshots[0])
		if err != nil {
			return err
		}
		gone := []string{t.name(s.ManifestList), s.Summary[Attached]}
		for _, m := range before {
			if !slices.ContainsFunc(after, func(o manifest) bool { return o.path == m.path }) {
				gone = append(gone, t.name(m.path))
			}
		}
		for _, name := range gone {
			if name == "" {
				continue
			}
			if err := t.store.Delete(ctx, name); err != nil {
				return err
			}
		}
	}
	if t.version <= kept {
		return nil
	}
	names, err := t.store.List(ctx, "metadata/v")
	if err != nil {
		return err
	}
	for _, name := range t.old(names) {
		if err := t.store.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// old are those of names that are versions which aren't kept any more, in the order in which
// they are deleted: commit relies on it that none is left behind a younger one's.
func (t *Table) old(names []string) []string {
	var versions []int64
	for _, name := range names {
		if v := versionOf(name); v > 0 && v <= t.version-kept {
			versions = append(versions, v)
		}
	}
	slices.Sort(versions)
	var old []string
	for _, v := range versions {
		old = append(old, versionName(v))
	}
	return old
}

// Names that NextName makes, also while they are temporary, and those that versions have then.
var (
	nextNames      = regexp.MustCompile(`^(?:data/[^/]+/(?:\.busbar\d+_)?samples|metadata/(?:\.busbar\d+_)?(?:manifest|snap|state))-(\d{10,})-[0-9a-f]{16}\.[a-z.]+$`)
	temporaryNames = regexp.MustCompile(`^metadata/\.busbar\d+_(?:v(\d+)\.metadata\.json|version-hint\.text)$`)
)

// nextOf is the version that a file was meant for; not ok of files of others.
func nextOf(name string) (version int64, ok bool) {
	found := nextNames.FindStringSubmatch(name)
	if found == nil {
		found = temporaryNames.FindStringSubmatch(name)
	}
	if found == nil {
		return 0, false
	}
	if found[1] == "" {
		return 0, true // which version is the newest is told with each commit anew
	}
	version, err := strconv.ParseInt(found[1], 10, 64)
	return version, err == nil
}

// Clean deletes the files that no snapshot names and none will: what a writer left behind that
// was killed or fenced. It may run beside a writer: a file's name says which version it was
// meant for, and once there is that version no other commit will name it. With dry it only
// says what it would delete.
func Clean(ctx context.Context, s object.Store, def Definition, dry bool) (deleted []string, err error) {
	var names []string // before the table is read: what is written meanwhile is left alone
	for _, dir := range []string{"data/", "metadata/"} {
		more, err := s.List(ctx, dir)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	t, err := Read(ctx, s, def)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for i, s := range t.meta.Snapshots {
		// A writer may be deleting it; all its data files are in the newest, too.
		older := i < len(t.meta.Snapshots)-1
		used[t.name(s.ManifestList)] = true
		used[s.Summary[Attached]] = true
		manifests, err := t.list(ctx, s)
		if older && errors.Is(err, object.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, m := range manifests {
			name := t.name(m.path)
			if used[name] {
				continue
			}
			used[name] = true
			entries, err := t.entries(ctx, m)
			if older && errors.Is(err, object.ErrNotExist) {
				delete(used, name) // it is to be missed if the newest has it
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				used[t.name(e.Path)] = true
			}
		}
	}
	for _, name := range names {
		if v, ok := nextOf(name); !ok || v > t.version || used[name] {
			continue
		}
		deleted = append(deleted, name)
	}
	deleted = append(deleted, t.old(names)...)
	if dry {
		return deleted, nil
	}
	for i, name := range deleted {
		if err := s.Delete(ctx, name); err != nil {
			return deleted[:i], err
		}
	}
	return deleted, nil
}
