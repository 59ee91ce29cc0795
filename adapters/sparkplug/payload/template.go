package payload

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Template is a group of metrics (6.4.10): a definition, or an instance of one. Its
// parameters aren't read.
type Template struct {
	Version    []byte
	Metrics    []Metric
	Ref        []byte // the name of the definition
	Definition bool
}

// Template reads a value that is one. Templates within it stay encoded.
func (v Value) Template() (t Template, err error) {
	if v.form != AsTemplate {
		return t, malformed("no template")
	}
	err = fields(v.bytes, "template", func(num protowire.Number, f field) error {
		switch {
		case num == 1 && f.delimited():
			t.Version = f.bytes
		case num == 2 && f.delimited():
			if len(t.Metrics) == MaxMetrics {
				return fmt.Errorf("%w: a template of more than %d metrics", ErrTooLarge, MaxMetrics)
			}
			t.Metrics = append(t.Metrics, Metric{})
			return t.Metrics[len(t.Metrics)-1].decode(f.bytes)
		case num == 4 && f.delimited():
			t.Ref = f.bytes
		case num == 5 && f.varint():
			t.Definition = f.number != 0
		}
		return nil
	})
	return t, err
}
