package rules

import (
	"slices"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// network is the model, indexed, and the slots of the signals that rules read.
type network struct {
	gateway           string // which "*" doesn't mean: it has no signals of a device
	assets            map[string]Asset
	devices           map[string]Device
	assetIDs          []string // in the model's order, then those that only devices and signals name
	deviceIDs         []string
	all               []telemetry.Signal
	byAsset, byDevice map[string][]int32                       // of them, by id
	named             map[target]map[string][]telemetry.Signal // by name, of those that rules have looked at
	bySupply          map[string][]string                      // ids of devices, in the model's order
	openAssets        map[string]bool                          // that have an open device
	judged            map[judgement]witness
	slotOf            map[telemetry.SignalID]int32
	inputs            inputs
	deviceNumbers     map[string]int32
	buses             map[string][]string // devices by bus
	busIDs            []string
	kept              int // samples of all trails
	idle              idle
}

func newNetwork(m Model) *network {
	w := &network{
		gateway: m.Gateway,
		assets:  map[string]Asset{}, devices: map[string]Device{},
		all: m.Signals, byAsset: map[string][]int32{}, byDevice: map[string][]int32{}, named: map[target]map[string][]telemetry.Signal{},
		bySupply: map[string][]string{}, openAssets: map[string]bool{}, judged: map[judgement]witness{},
		slotOf: map[telemetry.SignalID]int32{}, deviceNumbers: map[string]int32{}, buses: map[string][]string{},
	}
	for _, a := range m.Assets {
		w.addAsset(a)
	}
	for _, d := range m.Devices {
		w.addAsset(Asset{ID: d.Asset})
		w.addDevice(d)
	}
	for i, s := range m.Signals {
		w.addAsset(Asset{ID: s.Asset})
		w.addDevice(Device{ID: s.Device, Asset: s.Asset})
		w.byAsset[s.Asset] = append(w.byAsset[s.Asset], int32(i))
		w.byDevice[s.Device] = append(w.byDevice[s.Device], int32(i))
	}
	return w
}

func (w *network) addAsset(a Asset) {
	if _, known := w.assets[a.ID]; !known && a.ID != "" {
		w.assets[a.ID] = a
		w.assetIDs = append(w.assetIDs, a.ID)
	}
}

func (w *network) addDevice(d Device) {
	if _, known := w.devices[d.ID]; !known && d.ID != "" {
		w.devices[d.ID] = d
		w.deviceIDs = append(w.deviceIDs, d.ID)
		w.bySupply[d.Supply] = append(w.bySupply[d.Supply], d.ID)
		w.openAssets[d.Asset] = w.openAssets[d.Asset] || d.Open
		w.deviceNumbers[d.ID] = int32(len(w.deviceNumbers))
		if d.Bus != "" {
			if w.buses[d.Bus] == nil {
				w.busIDs = append(w.busIDs, d.Bus)
			}
			w.buses[d.Bus] = append(w.buses[d.Bus], d.ID)
		}
	}
}

// slot is where the signal's samples are kept.
func (w *network) slot(signal telemetry.Signal) int32 {
	n, ok := w.slotOf[signal.ID]
	if !ok {
		n = int32(len(w.inputs.slots))
		w.slotOf[signal.ID] = n
		poll := telemetry.Micros(w.devices[signal.Device].PollEvery.Microseconds())
		if signal.Name == telemetry.ChannelLive {
			poll = 0
		}
		w.inputs.slots = append(w.inputs.slots, slot{device: w.deviceNumbers[signal.Device], poll: poll, time: never})
		w.inputs.signals = append(w.inputs.signals, signal)
	}
	return n
}

// keepByChange keeps the last sample of every signal that comes by change only, also if
// no rule reads it: one that is new after a reload may, and the next sample may be days
// away.
func (w *network) keepByChange() {
	for _, s := range w.all {
		if w.devices[s.Device].PollEvery != 0 && s.Name != telemetry.ChannelLive {
			continue
		}
		if _, read := w.slotOf[s.ID]; !read {
			w.idle.add(s.ID)
		}
	}
}

// target is one asset or, if device is given, one device on it. A bus is a device
// without signals; its asset is that of its devices, if they have one in common.
type target struct{ asset, device string }

func (t target) String() string {
	if t.device != "" {
		return "device " + t.device
	}
	return "asset " + t.asset
}

// signals are the target's signals by name.
func (w *network) signals(t target) map[string][]telemetry.Signal {
	of := w.byAsset[t.asset]
	if t.device != "" {
		t.asset, of = "", w.byDevice[t.device]
	}
	by, known := w.named[t]
	if !known {
		by = make(map[string][]telemetry.Signal, len(of))
		for _, i := range of {
			s := w.all[i]
			by[s.Name] = append(by[s.Name], s)
		}
		w.named[t] = by
	}
	return by
}

// open reports whether the target may get signals that it hasn't got yet.
func (w *network) open(t target) bool {
	if t.device != "" {
		return w.devices[t.device].Open
	}
	return w.openAssets[t.asset]
}

// targets are what the selection matches. If that is nothing, the fault's
// message says why and field which key of on is to blame.
func (w *network) targets(on Target) (targets []target, field string, err *fault) {
	if on.Asset != "" && !slices.Contains(w.assetIDs, on.Asset) {
		return nil, "on.asset", noSuch("asset", on.Asset, w.assetIDs)
	}
	kinds := w.kinds()
	if on.Kind != "" && !slices.Contains(kinds, on.Kind) {
		return nil, "on.kind", noSuch("asset of kind", on.Kind, kinds)
	}
	if on.Device != "" && on.Device != "*" && !slices.Contains(w.deviceIDs, on.Device) {
		return nil, "on.device", noSuch("device", on.Device, w.deviceIDs)
	}
	if on.Bus != "" && on.Bus != "*" && w.buses[on.Bus] == nil {
		return nil, "on.bus", noSuch("bus", on.Bus, w.busIDs)
	}
	if on.Gateway && w.devices[w.gateway].ID == "" {
		return nil, "on.gateway", &fault{message: "the gateway has no signals here"}
	}
	matches := func(t target) bool {
		return (on.Asset == "" || on.Asset == t.asset) && (on.Kind == "" || on.Kind == w.assets[t.asset].Kind) &&
			(on.Device == "" || on.Device == "*" || on.Device == t.device) && (on.Bus == "" || on.Bus == "*" || on.Bus == t.device)
	}
	for _, t := range w.selectable(on) {
		if matches(t) {
			targets = append(targets, t)
		}
	}
	if on.Bus == "*" {
		return targets, "", nil
	}
	if len(targets) == 0 {
		return nil, "on", &fault{message: "no asset or device matches all of it"}
	}
	return targets, "", nil
}

// selectable are the targets of the sort that the selection is about.
func (w *network) selectable(on Target) (all []target) {
	switch {
	case on.Gateway:
		return []target{{w.devices[w.gateway].Asset, w.gateway}}
	case on.Bus != "":
		for _, bus := range w.busIDs {
			all = append(all, target{w.assetOf(bus), bus})
		}
	case on.Device != "":
		for _, id := range w.deviceIDs {
			if id != w.gateway || on.Device == id {
				all = append(all, target{w.devices[id].Asset, id})
			}
		}
	default:
		for _, id := range w.assetIDs {
			all = append(all, target{asset: id})
		}
	}
	return all
}

// assetOf is the asset that the devices of a bus have in common, "" if none.
func (w *network) assetOf(bus string) string {
	asset := w.devices[w.buses[bus][0]].Asset
	for _, id := range w.buses[bus] {
		if w.devices[id].Asset != asset {
			return ""
		}
	}
	return asset
}

func (w *network) kinds() []string {
	var kinds []string
	for _, id := range w.assetIDs {
		if kind := w.assets[id].Kind; kind != "" && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func noSuch(what, name string, known []string) *fault {
	message := "there is no " + what + " " + name
	if nearest := configfile.Nearest(name, known); nearest != "" {
		message += ", did you mean " + nearest + "?"
	}
	return &fault{message: message}
}
