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
	byAsset, byDevice map[string]map[string][]telemetry.Signal // by id, by name
	slotOf            map[telemetry.SignalID]int32
	inputs            inputs
	deviceNumbers     map[string]int32
}

func newNetwork(m Model) *network {
	w := &network{
		gateway: m.Gateway, assets: map[string]Asset{}, devices: map[string]Device{},
		byAsset: map[string]map[string][]telemetry.Signal{}, byDevice: map[string]map[string][]telemetry.Signal{},
		slotOf: map[telemetry.SignalID]int32{}, deviceNumbers: map[string]int32{},
	}
	for _, a := range m.Assets {
		w.addAsset(a)
	}
	for _, d := range m.Devices {
		w.addAsset(Asset{ID: d.Asset})
		w.addDevice(d)
	}
	for _, s := range m.Signals {
		w.addAsset(Asset{ID: s.Asset})
		w.addDevice(Device{ID: s.Device, Asset: s.Asset})
		index(w.byAsset, s.Asset, s)
		index(w.byDevice, s.Device, s)
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
		w.deviceNumbers[d.ID] = int32(len(w.deviceNumbers))
	}
}

func index(by map[string]map[string][]telemetry.Signal, id string, s telemetry.Signal) {
	if by[id] == nil {
		by[id] = map[string][]telemetry.Signal{}
	}
	by[id][s.Name] = append(by[id][s.Name], s)
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

// target is one asset or, if device is given, one device on it.
type target struct{ asset, device string }

func (t target) String() string {
	if t.device != "" {
		return "device " + t.device
	}
	return "asset " + t.asset
}

// signals are the target's signals by name.
func (w *network) signals(t target) map[string][]telemetry.Signal {
	if t.device != "" {
		return w.byDevice[t.device]
	}
	return w.byAsset[t.asset]
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
	matches := func(asset string) bool {
		return (on.Asset == "" || on.Asset == asset) && (on.Kind == "" || on.Kind == w.assets[asset].Kind)
	}
	if on.Device == "" {
		for _, id := range w.assetIDs {
			if matches(id) {
				targets = append(targets, target{asset: id})
			}
		}
	} else {
		for _, id := range w.deviceIDs {
			if asset := w.devices[id].Asset; (on.Device == "*" && id != w.gateway || on.Device == id) && matches(asset) {
				targets = append(targets, target{asset, id})
			}
		}
	}
	if len(targets) == 0 {
		return nil, "on", &fault{message: "no asset or device matches all of it"}
	}
	return targets, "", nil
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
