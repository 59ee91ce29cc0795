package network

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
)

// content is a model as a version keeps it: the table of its assets, and what isn't in a
// table beside it.
func content(m *grid.Model) (v store.GridVersion, model []byte, err error) {
	var table bytes.Buffer
	if err := gridfile.WriteTable(&table, m); err != nil {
		return v, nil, err
	}
	if table.Len() > largestTable {
		return v, nil, fmt.Errorf("network: the model is too large: the table of its assets has %d bytes, expected at most %d", table.Len(), largestTable)
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return v, nil, err
	}
	defer z.Close()
	sum := sha256.New()
	fmt.Fprintf(sum, "%d:%s %s\n", len(m.Name), m.Name, m.Coordinates)
	sum.Write(table.Bytes())
	v = store.GridVersion{Name: m.Name, Coordinates: m.Coordinates.String(), Digest: hex.EncodeToString(sum.Sum(nil))}
	m.Each(func(grid.Kind, int, *grid.Asset) { v.Assets++ })
	return v, z.EncodeAll(table.Bytes(), nil), nil
}

// largestTable bounds the table of a model, in bytes.
const largestTable = 512 << 20

// modelOf is the model of a version that is kept.
func modelOf(v store.GridVersion, model []byte) (*grid.Model, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(largestTable))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	table, err := z.DecodeAll(model, nil)
	if err != nil {
		return nil, fmt.Errorf("network: version %d: %w", v.Version, err)
	}
	m, findings := gridfile.ReadTable(fmt.Sprintf("version %d", v.Version), table)
	if len(findings) > 0 {
		return nil, fmt.Errorf("network: %s", findings[0])
	}
	m.Name = v.Name
	if err := m.Coordinates.UnmarshalText([]byte(v.Coordinates)); err != nil {
		return nil, fmt.Errorf("network: version %d: %w", v.Version, err)
	}
	return &m, nil
}
