package payload

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
)

const (
	compressed = "SPBV1.0_COMPRESSED"
	algorithm  = "algorithm"
	// GZIP and DEFLATE are how a message may be compressed; if it doesn't say how, DEFLATE.
	GZIP    = "GZIP"
	DEFLATE = "DEFLATE"

	// MaxInflated bounds a message that was compressed, in bytes.
	MaxInflated = 4 << 20
)

// Decoder reads messages one after the other. Each is valid until the next is read.
type Decoder struct {
	Payload
	inflated bytes.Buffer
}

// Decode reads a message, also a compressed one. Of that, everything is within: what is
// around it has neither a time nor a number.
func (d *Decoder) Decode(b []byte) error {
	if err := d.Payload.Decode(b); err != nil {
		return err
	}
	if string(d.UUID) != compressed {
		return nil
	}
	how := DEFLATE
	for _, m := range d.Metrics {
		if string(m.Name) == algorithm && m.Value.form == AsString {
			how = string(m.Value.bytes)
		}
	}
	if err := d.inflate(how); err != nil {
		return err
	}
	if err := d.Payload.Decode(d.inflated.Bytes()); err != nil {
		return err
	}
	if string(d.UUID) == compressed {
		return malformed("compressed twice")
	}
	return nil
}

func (d *Decoder) inflate(how string) error {
	var r io.Reader
	var err error
	switch body := bytes.NewReader(d.Body); {
	case how == GZIP:
		r, err = gzip.NewReader(body)
	case how == DEFLATE && hasZlibHeader(d.Body):
		r, err = zlib.NewReader(body)
	case how == DEFLATE:
		r = flate.NewReader(body)
	default:
		return fmt.Errorf("%w: compressed by %.20q, expected %s or %s", ErrMalformed, how, GZIP, DEFLATE)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	d.inflated.Reset()
	if _, err := io.Copy(&d.inflated, io.LimitReader(r, MaxInflated+1)); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if d.inflated.Len() > MaxInflated {
		d.inflated = bytes.Buffer{}
		return fmt.Errorf("%w: more than %d bytes once it is inflated", ErrTooLarge, MaxInflated)
	}
	return nil
}

// hasZlibHeader tells what is usually meant by DEFLATE, the zlib format, from the bare
// one (RFC 1950, 2.2).
func hasZlibHeader(b []byte) bool {
	return len(b) >= 2 && b[0]&0x0F == 8 && (uint(b[0])<<8|uint(b[1]))%31 == 0
}
