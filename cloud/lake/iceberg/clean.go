package iceberg

import (
	"context"
	"errors"
	"slices"

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
	if old := t.version - kept; old > 0 {
		return t.store.Delete(ctx, versionName(old))
	}
	return nil
}

// Clean deletes the files that no snapshot names and none will: what a writer left behind that
// was killed or fenced. It may run beside a writer: a file's name says which version it was
// meant for, and once there is that version no other commit will name it. With dry it only
// says what it would delete.
func Clean(ctx context.Context, s object.Store, def Definition, dry bool) (deleted []string, err error) {
	names, err := s.List(ctx, "") // before the table is read: what is written meanwhile is left alone
	if err != nil {
		return nil, err
	}
	t, err := Read(ctx, s, def)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, s := range t.meta.Snapshots {
		used[t.name(s.ManifestList)] = true
		used[s.Summary[Attached]] = true
		manifests, err := t.list(ctx, s)
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
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				used[t.name(e.Path)] = true
			}
		}
	}
	var versions []int64
	for _, name := range names {
		if v := versionOf(name); v > 0 && v <= t.version-kept {
			versions = append(versions, v)
		}
		if v, ok := nextOf(name); !ok || v > t.version || used[name] {
			continue
		}
		deleted = append(deleted, name)
	}
	slices.Sort(versions)
	for _, v := range versions {
		deleted = append(deleted, versionName(v))
	}
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
