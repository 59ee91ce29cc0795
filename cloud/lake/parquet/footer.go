package parquet

// footer is the file's metadata, as parquet.thrift's FileMetaData.
func (w *Writer) footer() []byte {
	var t thrift
	t.begin()
	t.i32(1, 1)
	t.list(2, typeStruct, len(w.columns)+1)
	t.begin()
	t.text(4, "table")
	t.i32(5, int32(len(w.columns)))
	t.end()
	for _, c := range w.columns {
		t.begin()
		c.element(&t)
		t.end()
	}
	rows := 0
	for _, g := range w.groups {
		rows += g.rows
	}
	t.i64(3, int64(rows))
	t.list(4, typeStruct, len(w.groups))
	for _, g := range w.groups {
		t.begin()
		w.group(&t, g)
		t.end()
	}
	t.text(6, "busbar-lake")
	t.list(7, typeStruct, len(w.columns)) // bounds are in the order of the type
	for range w.columns {
		t.begin()
		t.open(1)
		t.end()
		t.end()
	}
	t.end()
	return t.out
}

// element is the column's SchemaElement.
func (c Column) element(t *thrift) {
	t.i32(1, c.Type.physical())
	if c.Type == Decimal20 {
		t.i32(2, decimalBytes)
	}
	if c.Required {
		t.i32(3, 0)
	} else {
		t.i32(3, 1)
	}
	t.text(4, c.Name)
	switch c.Type {
	case String:
		t.i32(6, 0)
	case Decimal20:
		t.i32(6, 5)
		t.i32(7, 0)
		t.i32(8, 20)
	case Timestamp:
		t.i32(6, 10)
	}
	t.i32(9, int32(c.ID))
	switch c.Type {
	case String:
		t.open(10)
		t.open(1)
		t.end()
		t.end()
	case Decimal20:
		t.open(10)
		t.open(5)
		t.i32(1, 0)
		t.i32(2, 20)
		t.end()
		t.end()
	case Timestamp:
		t.open(10)
		t.open(8)
		t.set(1) // UTC
		t.open(2)
		t.open(2) // µs
		t.end()
		t.end()
		t.end()
		t.end()
	}
}

func (w *Writer) group(t *thrift, g group) {
	var uncompressed, packed int64
	t.list(1, typeStruct, len(g.chunks))
	for i, ch := range g.chunks {
		uncompressed += ch.uncompressed
		packed += ch.packed
		t.begin()
		t.i64(2, 0)
		t.open(3)
		ch.metadata(t, w.columns[i])
		t.end()
		t.end()
	}
	t.i64(2, uncompressed)
	t.i64(3, int64(g.rows))
	t.i64(6, packed)
}

func (ch chunk) metadata(t *thrift, c Column) {
	t.i32(1, c.Type.physical())
	t.list(2, typeI32, len(ch.encodings))
	for _, e := range ch.encodings {
		t.number(int64(e))
	}
	t.list(3, typeBinary, 1)
	t.string(c.Name)
	t.i32(4, codecZstd)
	t.i64(5, int64(ch.values))
	t.i64(6, ch.uncompressed)
	t.i64(7, ch.packed)
	t.i64(9, ch.data)
	if ch.dictionary > 0 {
		t.i64(11, ch.dictionary)
	}
	t.open(12)
	t.i64(3, ch.nulls)
	if ch.least != nil {
		t.text(5, string(ch.most))
		t.text(6, string(ch.least))
	}
	t.end()
}
