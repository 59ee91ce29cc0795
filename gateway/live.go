package gateway

import (
	"bytes"
	"compress/gzip"
	"encoding/json"

	"github.com/busbar/busbar/gatewayconfig"
)

// setting is a configuration and what is made of it.
type setting struct {
	config  gatewayconfig.Config
	source  Source // its Text is nil if it is unknown
	devices devices
}

// live is the setting that a gateway runs with now. The signals of its devices, which may be
// tens of thousands, are in the model; as they were written they are needed again only when
// another setting comes, and are packed until then.
type live struct {
	config  gatewayconfig.Config // without signals
	signals []byte
	source  Source
	devices devices
}

// live is the setting as it is kept while it runs.
func (s setting) live() *live {
	l := &live{config: s.config, source: s.source, devices: s.devices}
	l.config.Devices = make([]gatewayconfig.Device, len(s.config.Devices))
	lists := make([][]gatewayconfig.Signal, len(s.config.Devices))
	for i, d := range s.config.Devices {
		lists[i], d.Signals = d.Signals, nil
		l.config.Devices[i] = d
	}
	l.devices.config = l.config
	l.signals = pack(lists)
	return l
}

// setting is the one that runs, as it was written.
func (l *live) setting() setting {
	s := setting{config: l.config, source: l.source, devices: l.devices}
	s.config.Devices = make([]gatewayconfig.Device, len(l.config.Devices))
	for i, signals := range unpack(l.signals) {
		s.config.Devices[i] = l.config.Devices[i]
		s.config.Devices[i].Signals = signals
	}
	s.devices.config = s.config
	return s
}

// pack takes a hundredth of the memory of what it packs.
func pack(lists [][]gatewayconfig.Signal) []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	out := json.NewEncoder(z)
	for _, list := range lists {
		if err := out.Encode(list); err != nil {
			panic(err) // it has nothing but texts and numbers
		}
	}
	z.Close()
	return bytes.Clone(packed.Bytes())
}

func unpack(packed []byte) (lists [][]gatewayconfig.Signal) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic(err) // it is what pack has made, as below
	}
	for in := json.NewDecoder(z); in.More(); {
		var list []gatewayconfig.Signal
		if err := in.Decode(&list); err != nil {
			panic(err)
		}
		lists = append(lists, list)
	}
	return lists
}
