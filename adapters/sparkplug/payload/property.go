package payload

import "google.golang.org/protobuf/encoding/protowire"

// Property is a property of a metric (6.4.11 to 6.4.14).
type Property struct {
	Name  []byte
	Type  DataType
	Null  bool
	Value Value // a PropertySet or a list of them is encoded
}

const maxProperties = 1000

// Properties reads an encoded PropertySet into dst. Sets within it stay encoded.
func Properties(dst []Property, b []byte) ([]Property, error) {
	begin, values := len(dst), 0
	err := fields(b, "properties", func(num protowire.Number, f field) error {
		switch {
		case num == 1 && f.delimited():
			if len(dst)-begin == maxProperties {
				return malformed("too many properties")
			}
			dst = append(dst, Property{Name: f.bytes})
		case num == 2 && f.delimited():
			values++
		}
		return nil
	})
	if err != nil || values != len(dst)-begin {
		return dst[:begin], malformed("properties whose names and values don't match")
	}
	at := begin
	err = fields(b, "properties", func(num protowire.Number, f field) error {
		if num == 2 && f.delimited() {
			at++
			return dst[at-1].decode(f.bytes)
		}
		return nil
	})
	return dst, err
}

func (p *Property) decode(b []byte) error {
	return fields(b, "property", func(num protowire.Number, f field) error {
		switch {
		case num == 1 && f.varint():
			p.Type = DataType(min(f.number, uint64(unheardOf)))
		case num == 2 && f.varint():
			p.Null = f.number != 0
		case num >= 3:
			p.Value.take(num-3, f, propertyForms)
		}
		return nil
	})
}

// AppendProperties encodes a PropertySet behind dst.
func AppendProperties(dst []byte, properties []Property) []byte {
	for _, p := range properties {
		dst = appendBytes(dst, 1, p.Name)
	}
	for _, p := range properties {
		dst = appendMessage(dst, 2, func(dst []byte) []byte {
			if p.Type != Unknown {
				dst = appendVarint(dst, 1, uint64(p.Type))
			}
			if p.Null {
				dst = appendVarint(dst, 2, 1)
			}
			return p.Value.append(dst, 3, propertyForms)
		})
	}
	return dst
}
