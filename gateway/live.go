package gateway

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"

	"github.com/busbar/busbar/gatewayconfig"
)

// setting is a configuration and what is made of it.
type setting struct {
	config  gatewayconfig.Config
	source  Source // its Text is nil if it is unknown
	devices devices
}

// live is the setting that a gateway runs with now. The signals of its devices, which may be
// tens of thousands, are in the model; as they were written, and the files that they were
// written in, are needed again only when another setting comes, and are packed until then.
type live struct {
	config  gatewayconfig.Config // without signals
	signals []byte
	files   Source // with what is in them packed
	devices devices
}

// live is the setting as it is kept while it runs.
func (s setting) live() *live {
	l := &live{config: s.config, devices: s.devices}
	l.config.Devices = make([]gatewayconfig.Device, len(s.config.Devices))
	lists := make([][]gatewayconfig.Signal, len(s.config.Devices))
	for i, d := range s.config.Devices {
		lists[i], d.Signals = d.Signals, nil
		l.config.Devices[i] = d
	}
	l.devices.config = l.config
	p := newPacker()
	l.signals = p.signals(lists)
	l.files = p.source(s.source)
	return l
}

// setting is the one that runs, as it was written.
func (l *live) setting() setting {
	s := setting{config: l.config, source: l.source(), devices: l.devices}
	s.config.Devices = make([]gatewayconfig.Device, len(l.config.Devices))
	for i, signals := range unpackSignals(l.signals) {
		s.config.Devices[i] = l.config.Devices[i]
		s.config.Devices[i].Signals = signals
	}
	s.devices.config = s.config
	return s
}

// source is what the setting was read from.
func (l *live) source() Source {
	return l.files.each(func(packed []byte) []byte {
		text, err := io.ReadAll(unpack(packed))
		if err != nil {
			panic(err) // it is what packer has made
		}
		return text
	})
}

// packer packs what isn't needed while a gateway runs: signals into a hundredth of their
// memory.
type packer struct{ zip *gzip.Writer }

func newPacker() packer { return packer{gzip.NewWriter(nil)} }

func (p packer) pack(write func(io.Writer) error) []byte {
	var packed bytes.Buffer
	p.zip.Reset(&packed)
	if err := write(p.zip); err != nil {
		panic(err) // memory takes everything
	}
	p.zip.Close()
	return bytes.Clone(packed.Bytes())
}

func (p packer) signals(lists [][]gatewayconfig.Signal) []byte {
	return p.pack(func(w io.Writer) error {
		out := json.NewEncoder(w)
		for _, list := range lists {
			if err := out.Encode(list); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p packer) source(s Source) Source {
	return s.each(func(text []byte) []byte {
		return p.pack(func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		})
	})
}

func unpack(packed []byte) io.Reader {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic(err) // it is what packer has made, as below
	}
	return z
}

func unpackSignals(packed []byte) (lists [][]gatewayconfig.Signal) {
	for in := json.NewDecoder(unpack(packed)); in.More(); {
		var list []gatewayconfig.Signal
		if err := in.Decode(&list); err != nil {
			panic(err)
		}
		lists = append(lists, list)
	}
	return lists
}
