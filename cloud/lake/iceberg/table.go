// Package iceberg keeps one append-only table of Apache Iceberg, format version 2, without a
// server: the table's versions are files that are created once, as in Hadoop's catalog, and
// who creates the next one has committed.
package iceberg

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/lake/object"
)

// ErrFenced says that another writer has committed since the table was opened. Nothing of
// what was to be committed is in the table.
var ErrFenced = errors.New("another writer has committed to the table")

// errNoTable says that there is no version at all, and not only that a file is missing.
var errNoTable = fmt.Errorf("no table: %w", object.ErrNotExist)

const (
	kept        = 100 // snapshots that the metadata names, and versions of it that are kept
	mostEntries = 500 // of a manifest that is written anew with each commit
)

// Definition is what a table is made with. Its partitions are the days of UTC of one column.
type Definition struct {
	Fields     []Field
	Day        int // the field, of type timestamptz
	Properties map[string]string
}

func (d Definition) schema() schema { return schema{"struct", 0, d.Fields} }

func (d Definition) partition() []partitionField {
	return []partitionField{{d.Day, 1000, "time_day", "day"}}
}

// Table is a table as it was when it was opened, and with what has been appended to it since.
// One goroutine at a time may use it.
type Table struct {
	store     object.Store
	def       Definition
	version   int64
	meta      metadata
	manifests []manifest
	open      []entry    // of the last manifest
	dropped   []snapshot // by the last commit
}

// Open reads the newest version of the table, or makes it.
func Open(ctx context.Context, s object.Store, def Definition) (*Table, error) {
	t, err := Read(ctx, s, def)
	if !errors.Is(err, errNoTable) {
		return t, err
	}
	var uuid [16]byte
	rand.Read(uuid[:])
	uuid[6], uuid[8] = uuid[6]&0x0f|0x40, uuid[8]&0x3f|0x80
	id := fmt.Sprintf("%x-%x-%x-%x-%x", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:])
	last := 0
	for _, f := range def.Fields {
		last = max(last, f.ID)
	}
	m := metadata{FormatVersion: 2, TableUUID: id, Location: location(s), LastUpdated: time.Now().UnixMilli(), LastColumnID: last,
		Schemas: []schema{def.schema()}, PartitionSpecs: []partitionSpec{{0, def.partition()}}, LastPartitionID: 1000,
		SortOrders: []sortOrder{{0, []struct{}{}}}, Properties: def.Properties, Refs: map[string]ref{}, Snapshots: []snapshot{}, SnapshotLog: []logged{}, MetadataLog: []struct{}{}}
	err = s.Create(ctx, versionName(1), []byte(text(m)))
	if errors.Is(err, object.ErrExists) {
		return Read(ctx, s, def) // another writer's, who may have committed
	}
	if err == nil {
		err = s.Put(ctx, hintName, strings.NewReader("1"), 1)
	}
	if err != nil {
		return nil, err
	}
	return Read(ctx, s, def)
}

func location(s object.Store) string { return strings.TrimSuffix(s.URL(""), "/") }

const hintName = "metadata/version-hint.text"

func versionName(version int64) string { return fmt.Sprintf("metadata/v%d.metadata.json", version) }

// versionOf is the version that a name of versionName is of, 0 if it is none.
func versionOf(name string) int64 {
	digits, found := strings.CutPrefix(name, "metadata/v")
	digits, ends := strings.CutSuffix(digits, ".metadata.json")
	version, err := strconv.ParseInt(digits, 10, 64)
	if !found || !ends || err != nil || versionName(version) != name {
		return 0
	}
	return version
}

// Read reads the newest version of a table; the error is object.ErrNotExist if there is none,
// and also if a file of it is missing.
func Read(ctx context.Context, s object.Store, def Definition) (*Table, error) {
	names, err := s.List(ctx, "metadata/v")
	if err != nil {
		return nil, err
	}
	t := &Table{store: s, def: def}
	for _, name := range names {
		t.version = max(t.version, versionOf(name))
	}
	if t.version == 0 {
		return nil, fmt.Errorf("lake: %s: %w", location(s), errNoTable)
	}
	data, err := s.Get(ctx, versionName(t.version))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &t.meta); err != nil {
		return nil, fmt.Errorf("lake: %s: %w", versionName(t.version), err)
	}
	if t.meta.FormatVersion != 2 || len(t.meta.Schemas) != 1 || !reflect.DeepEqual(t.meta.Schemas[0], def.schema()) {
		return nil, fmt.Errorf("lake: %s describes another table than this program writes", versionName(t.version))
	}
	if here := location(s); t.meta.Location != here {
		return nil, fmt.Errorf("lake: %s describes a table at %s, and not at %s: a table can't be moved", versionName(t.version), t.meta.Location, here)
	}
	current := t.current()
	if current == nil {
		return t, nil
	}
	if t.manifests, err = t.list(ctx, *current); err != nil || len(t.manifests) == 0 {
		return t, err
	}
	t.open, err = t.entries(ctx, t.manifests[len(t.manifests)-1])
	return t, err
}

// current is the snapshot that readers see, nil if there is none.
func (t *Table) current() *snapshot {
	if len(t.meta.Snapshots) == 0 {
		return nil
	}
	return &t.meta.Snapshots[len(t.meta.Snapshots)-1]
}

// name is the inverse of the store's URL.
func (t *Table) name(url string) string { return strings.TrimPrefix(url, t.store.URL("")+"/") }

func (t *Table) list(ctx context.Context, s snapshot) ([]manifest, error) {
	data, err := t.store.Get(ctx, t.name(s.ManifestList))
	if err != nil {
		return nil, err
	}
	list, err := decodeList(data)
	if err != nil {
		return nil, fmt.Errorf("lake: manifest list %s: %w", s.ManifestList, err)
	}
	return list, nil
}

func (t *Table) entries(ctx context.Context, m manifest) ([]entry, error) {
	data, err := t.store.Get(ctx, t.name(m.path))
	if err != nil {
		return nil, err
	}
	entries, err := decodeManifest(data)
	if err != nil {
		return nil, fmt.Errorf("lake: manifest %s: %w", m.path, err)
	}
	return entries, nil
}

// Version counts the table's versions from 1.
func (t *Table) Version() int64 { return t.version }

// Location is the file that describes the table as it is, for readers that want to be told.
func (t *Table) Location() string { return t.store.URL(versionName(t.version)) }

// Summary is what was said of the last commit; nil before there is one. At is when it was.
func (t *Table) Summary() (summary map[string]string, at time.Time) {
	if s := t.current(); s != nil {
		return s.Summary, time.UnixMilli(s.Timestamp)
	}
	return nil, time.Time{}
}

// NextName makes a name for a file that the next commit will name. It tells which commit that
// is, so that Clean knows when a file can't be named any more.
func (t *Table) NextName(dir, kind, extension string) string {
	var token [8]byte
	rand.Read(token[:])
	return fmt.Sprintf("%s/%s-%010d-%s.%s", dir, kind, t.version+1, hex.EncodeToString(token[:]), extension)
}

// Append commits files, which may be none, with properties of the snapshot; attached are files
// that belong to it. The error is ErrFenced if another writer has committed. After any
// error it isn't known whether the commit took place: open the table anew.
func (t *Table) Append(ctx context.Context, files []DataFile, properties map[string]string) error {
	now := time.Now().UnixMilli()
	if before := t.meta.LastUpdated; now <= before {
		now = before + 1 // times of snapshots rise, whatever the clock does
	}
	id := snapshotID()
	sequence := t.meta.LastSequenceNumber + 1
	manifests, open, err := t.addManifest(ctx, files, id, sequence)
	if err != nil {
		return err
	}
	s := snapshot{ID: id, SequenceNumber: sequence, Timestamp: now, Summary: t.summary(files, properties)}
	var parent int64
	if before := t.current(); before != nil {
		parent = before.ID
		s.Parent = &parent
	}
	listName := t.NextName("metadata", "snap", "avro")
	s.ManifestList = t.store.URL(listName)
	if err := put(ctx, t.store, listName, encodeList(manifests, id, parent, sequence)); err != nil {
		return err
	}
	next := t.meta
	next.LastSequenceNumber, next.LastUpdated, next.CurrentSnapshotID = sequence, now, &id
	next.Refs = map[string]ref{"main": {id, "branch"}}
	next.Snapshots = append(slices.Clone(next.Snapshots), s)
	next.SnapshotLog = append(slices.Clone(next.SnapshotLog), logged{now, id})
	var dropped []snapshot
	if n := len(next.Snapshots) - kept; n > 0 {
		dropped, next.Snapshots = next.Snapshots[:n], next.Snapshots[n:]
		next.SnapshotLog = next.SnapshotLog[len(next.SnapshotLog)-kept:]
	}
	if err := t.commit(ctx, next); err != nil {
		return err
	}
	t.version++
	t.meta, t.manifests, t.open, t.dropped = next, manifests, open, dropped
	return nil
}

// Tidy follows Append: it tells which version is the newest, and deletes what the commit made
// obsolete. The commit doesn't depend on it, nor on its error; the next Tidy tells and deletes
// versions anew, and Clean finds the rest.
func (t *Table) Tidy(ctx context.Context) error {
	dropped := t.dropped
	t.dropped = nil
	return errors.Join(put(ctx, t.store, hintName, []byte(strconv.FormatInt(t.version, 10))), t.expire(ctx, dropped))
}

func put(ctx context.Context, s object.Store, name string, data []byte) error {
	return s.Put(ctx, name, bytes.NewReader(data), int64(len(data)))
}

func snapshotID() int64 {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err) // the system has no randomness
	}
	return n.Int64() + 1
}

// commit creates the next version.
func (t *Table) commit(ctx context.Context, next metadata) error {
	name := versionName(t.version + 1)
	data := []byte(text(next))
	if err := t.store.Create(ctx, name, data); err != nil {
		// It may be there all the same: what was sent twice is refused the second time.
		there, got := t.store.Get(ctx, name)
		switch {
		case got == nil && bytes.Equal(there, data):
		case got == nil:
			return fmt.Errorf("lake: version %d: %w", t.version+1, ErrFenced)
		default:
			return err
		}
	}
	// Old versions are deleted in their order. So as long as the one before is there, this
	// one wasn't, and it is new; else it only takes the place of one that was deleted.
	names, err := t.store.List(ctx, versionName(t.version))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.Join(fmt.Errorf("lake: version %d is long gone: %w", t.version, ErrFenced), t.store.Delete(ctx, name))
	}
	return nil
}

// addManifest writes the files into the last manifest, or a new one if that is large.
func (t *Table) addManifest(ctx context.Context, files []DataFile, id, sequence int64) ([]manifest, []entry, error) {
	if len(files) == 0 {
		return t.manifests, t.open, nil
	}
	manifests := slices.Clone(t.manifests)
	var open []entry
	if n := len(manifests); n > 0 && len(t.open) < mostEntries {
		manifests = manifests[:n-1]
		open = slices.Clone(t.open)
	}
	m := manifest{sequence: sequence, least: sequence, snapshot: id, lowest: files[0].Day, highest: files[0].Day}
	for i := range open {
		open[i].existing = true
		m.existing++
		m.existingRows += open[i].Records
	}
	for _, f := range files {
		open = append(open, entry{false, id, sequence, f})
		m.added++
		m.addedRows += f.Records
	}
	for _, e := range open {
		m.least = min(m.least, e.sequence)
		m.lowest, m.highest = min(m.lowest, e.Day), max(m.highest, e.Day)
	}
	data := encodeManifest(open, t.def.schema(), t.def.partition())
	name := t.NextName("metadata", "manifest", "avro")
	m.path, m.length = t.store.URL(name), int64(len(data))
	return append(manifests, m), open, put(ctx, t.store, name, data)
}

func (t *Table) summary(files []DataFile, properties map[string]string) map[string]string {
	before := map[string]string{}
	if s := t.current(); s != nil {
		before = s.Summary
	}
	var records, size int64
	for _, f := range files {
		records += f.Records
		size += f.Bytes
	}
	s := maps.Clone(properties)
	s["operation"] = "append"
	for what, added := range map[string]int64{"data-files": int64(len(files)), "records": records, "files-size": size} {
		total, _ := strconv.ParseInt(before["total-"+what], 10, 64)
		s["added-"+what] = strconv.FormatInt(added, 10)
		s["total-"+what] = strconv.FormatInt(total+added, 10)
	}
	return s
}
