package iec104

import "github.com/busbar/busbar/adapters/iec104/asdu"

// keeps reports whether a station is to keep an ASDU until it is on disk here: what it tells
// of its own accord, and doesn't again. Of a measured value it is enough to have the present
// one, unless all is to be kept.
func (d Device) keeps(a *asdu.ASDU) bool {
	return a.Type.Monitors() && changed(a.Cause) && (d.KeepAll || !measured(a.Type))
}

func measured(t asdu.Type) bool {
	return t >= asdu.Normalized && t <= asdu.ShortFloatTime24 || t == asdu.NormalizedNoQuality || t >= asdu.NormalizedTime56 && t <= asdu.ShortFloatTime56
}
