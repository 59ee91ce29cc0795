package payload

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Template is a group of metrics (6.4.10): a definition, or an instance of one.
type Template struct {
	Version    []byte
	Metrics    []Metric
	Parameters []Parameter
	Ref        []byte // the name of the definition
	Definition bool
}

// Parameter is one of a template's.
type Parameter struct {
	Name  []byte
	Type  DataType
	Value Value
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
		case num == 3 && f.delimited():
			if len(t.Parameters) == maxProperties {
				return malformed("too many parameters")
			}
			t.Parameters = append(t.Parameters, Parameter{})
			return t.Parameters[len(t.Parameters)-1].decode(f.bytes)
		case num == 4 && f.delimited():
			t.Ref = f.bytes
		case num == 5 && f.varint():
			t.Definition = f.number != 0
		}
		return nil
	})
	return t, err
}

func (p *Parameter) decode(b []byte) error {
	return fields(b, "parameter", func(num protowire.Number, f field) error {
		switch {
		case num == 1 && f.delimited():
			p.Name = f.bytes
		case num == 2 && f.varint():
			p.Type = DataType(min(f.number, uint64(unheardOf)))
		case num >= 3:
			p.Value.take(num-3, f, scalarForms)
		}
		return nil
	})
}

// TemplateValue is a template as a value.
func TemplateValue(t Template) Value {
	b := []byte{}
	if t.Version != nil {
		b = appendBytes(b, 1, t.Version)
	}
	for i := range t.Metrics {
		b = appendMessage(b, 2, t.Metrics[i].append)
	}
	for _, p := range t.Parameters {
		b = appendMessage(b, 3, func(b []byte) []byte {
			if p.Name != nil {
				b = appendBytes(b, 1, p.Name)
			}
			if p.Type != Unknown {
				b = appendVarint(b, 2, uint64(p.Type))
			}
			return p.Value.append(b, 3, scalarForms)
		})
	}
	if t.Ref != nil {
		b = appendBytes(b, 4, t.Ref)
	}
	if t.Definition {
		b = appendVarint(b, 5, 1)
	}
	return Value{form: AsTemplate, bytes: b}
}
