package iceberg

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// DataFile is a Parquet file of one day.
type DataFile struct {
	Path    string // as readers find it
	Day     int32  // its partition: days since 1970-01-01 UTC
	Records int64
	Bytes   int64
	Lower   map[int][]byte // by field: the least value, in Iceberg's single-value form
	Upper   map[int][]byte
}

// entry is a data file as a manifest names it.
type entry struct {
	existing           bool
	snapshot, sequence int64
	DataFile
}

const mapSchema = `["null",{"type":"array","logicalType":"map","items":{"type":"record","name":"k%d_v%d","fields":[` +
	`{"name":"key","type":"int","field-id":%d},{"name":"value","type":"bytes","field-id":%d}]}}]`

// manifestSchema is that of an entry, as far as it is written: what is left out is optional.
var manifestSchema = `{"type":"record","name":"manifest_entry","fields":[` +
	`{"name":"status","type":"int","field-id":0},` +
	`{"name":"snapshot_id","type":["null","long"],"default":null,"field-id":1},` +
	`{"name":"sequence_number","type":["null","long"],"default":null,"field-id":3},` +
	`{"name":"file_sequence_number","type":["null","long"],"default":null,"field-id":4},` +
	`{"name":"data_file","field-id":2,"type":{"type":"record","name":"r2","fields":[` +
	`{"name":"content","type":"int","field-id":134},` +
	`{"name":"file_path","type":"string","field-id":100},` +
	`{"name":"file_format","type":"string","field-id":101},` +
	`{"name":"partition","field-id":102,"type":{"type":"record","name":"r102","fields":[` +
	`{"name":"time_day","type":["null",{"type":"int","logicalType":"date"}],"default":null,"field-id":1000}]}},` +
	`{"name":"record_count","type":"long","field-id":103},` +
	`{"name":"file_size_in_bytes","type":"long","field-id":104},` +
	`{"name":"lower_bounds","type":` + fmt.Sprintf(mapSchema, 126, 127, 126, 127) + `,"default":null,"field-id":125},` +
	`{"name":"upper_bounds","type":` + fmt.Sprintf(mapSchema, 129, 130, 129, 130) + `,"default":null,"field-id":128}` +
	`]}}]}`

func encodeManifest(entries []entry, columns schema, fields []partitionField) []byte {
	var w avroWriter
	bounds := func(m map[int][]byte) {
		w.long(1) // not null
		if len(m) > 0 {
			w.long(int64(len(m)))
			for _, id := range slices.Sorted(maps.Keys(m)) {
				w.long(int64(id))
				w.bytes(m[id])
			}
		}
		w.long(0)
	}
	for _, e := range entries {
		if e.existing {
			w.long(0)
		} else {
			w.long(1)
		}
		for _, n := range []int64{e.snapshot, e.sequence, e.sequence} {
			w.long(1)
			w.long(n)
		}
		w.long(0) // data
		w.text(e.Path)
		w.text("PARQUET")
		w.long(1)
		w.long(int64(e.Day))
		w.long(e.Records)
		w.long(e.Bytes)
		bounds(e.Lower)
		bounds(e.Upper)
	}
	return writeAvro(manifestSchema, map[string]string{"schema": text(columns), "schema-id": "0", "partition-spec": text(fields),
		"partition-spec-id": "0", "format-version": "2", "content": "data"}, syncMarker(), len(entries), w.out)
}

// text is v as JSON.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it is texts and numbers
	}
	return string(b)
}

func syncMarker() (m [16]byte) {
	rand.Read(m[:])
	return m
}

func decodeManifest(src []byte) (entries []entry, err error) {
	err = readAvro(src, manifestSchema, func(r *avroReader) {
		var e entry
		present := func() bool {
			if r.long() != 1 {
				r.broken = true
			}
			return !r.broken
		}
		number := func() int64 {
			if present() {
				return r.long()
			}
			return 0
		}
		bounds := func() map[int][]byte {
			m := map[int][]byte{}
			if !present() {
				return m
			}
			for n := r.long(); n > 0 && !r.broken; n = r.long() {
				for ; n > 0 && !r.broken; n-- {
					id := r.long()
					m[int(id)] = r.bytes()
				}
			}
			return m
		}
		e.existing = r.long() == 0
		e.snapshot, e.sequence = number(), number()
		number()
		r.long()
		e.Path = r.text()
		r.text()
		e.Day = int32(number())
		e.Records, e.Bytes = r.long(), r.long()
		e.Lower, e.Upper = bounds(), bounds()
		entries = append(entries, e)
	})
	return entries, err
}

// manifest is a file of entries, as a manifest list names it.
type manifest struct {
	path                                     string
	length, sequence, least, snapshot        int64
	added, existing, addedRows, existingRows int64
	lowest, highest                          int32 // days
}

const listSchema = `{"type":"record","name":"manifest_file","fields":[` +
	`{"name":"manifest_path","type":"string","field-id":500},` +
	`{"name":"manifest_length","type":"long","field-id":501},` +
	`{"name":"partition_spec_id","type":"int","field-id":502},` +
	`{"name":"content","type":"int","field-id":517},` +
	`{"name":"sequence_number","type":"long","field-id":515},` +
	`{"name":"min_sequence_number","type":"long","field-id":516},` +
	`{"name":"added_snapshot_id","type":"long","field-id":503},` +
	`{"name":"added_files_count","type":"int","field-id":504},` +
	`{"name":"existing_files_count","type":"int","field-id":505},` +
	`{"name":"deleted_files_count","type":"int","field-id":506},` +
	`{"name":"added_rows_count","type":"long","field-id":512},` +
	`{"name":"existing_rows_count","type":"long","field-id":513},` +
	`{"name":"deleted_rows_count","type":"long","field-id":514},` +
	`{"name":"partitions","default":null,"field-id":507,"type":["null",{"type":"array","element-id":508,"items":{"type":"record","name":"r508","fields":[` +
	`{"name":"contains_null","type":"boolean","field-id":509},` +
	`{"name":"lower_bound","type":["null","bytes"],"default":null,"field-id":510},` +
	`{"name":"upper_bound","type":["null","bytes"],"default":null,"field-id":511}]}}]}` +
	`]}`

func encodeList(manifests []manifest, snapshot, parent, sequence int64) []byte {
	var w avroWriter
	for _, m := range manifests {
		w.text(m.path)
		for _, n := range []int64{m.length, 0, 0, m.sequence, m.least, m.snapshot, m.added, m.existing, 0, m.addedRows, m.existingRows, 0} {
			w.long(n)
		}
		w.long(1)
		w.long(1)
		w.out = append(w.out, 0)
		w.long(1)
		w.bytes(intValue(m.lowest))
		w.long(1)
		w.bytes(intValue(m.highest))
		w.long(0)
	}
	about := map[string]string{"snapshot-id": strconv.FormatInt(snapshot, 10), "sequence-number": strconv.FormatInt(sequence, 10), "format-version": "2"}
	if parent != 0 {
		about["parent-snapshot-id"] = strconv.FormatInt(parent, 10)
	}
	return writeAvro(listSchema, about, syncMarker(), len(manifests), w.out)
}

func decodeList(src []byte) (manifests []manifest, err error) {
	err = readAvro(src, listSchema, func(r *avroReader) {
		var m manifest
		m.path = r.text()
		var ignored int64
		for _, n := range []*int64{&m.length, &ignored, &ignored, &m.sequence, &m.least, &m.snapshot, &m.added, &m.existing, &ignored, &m.addedRows, &m.existingRows, &ignored} {
			*n = r.long()
		}
		bound := func() (v int32) {
			if r.long() != 1 {
				r.broken = true
			}
			b := r.bytes()
			if len(b) != 4 {
				r.broken = true
				return 0
			}
			return int32(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
		}
		if r.long() != 1 || r.long() != 1 || len(r.rest) == 0 {
			r.broken = true
			return
		}
		r.rest = r.rest[1:]
		m.lowest, m.highest = bound(), bound()
		if r.long() != 0 {
			r.broken = true
		}
		manifests = append(manifests, m)
	})
	return manifests, err
}
