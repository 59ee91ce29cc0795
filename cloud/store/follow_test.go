package store

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// What a follower hasn't passed is kept although it is packed, and it is given all that was
// stored after it began.
func TestAFollowerIsWaitedFor(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 11)
		for range 50 {
			d.store()
		}
		before := len(d.samples)
		f, err := d.Follow(t.Context(), Chunks, "reader")
		if err != nil || f.Next != f.Newest+1 || f.Newest == 0 {
			t.Fatal(f, err)
		}
		for range 100 {
			d.store()
		}
		const cut = (aroundMidnight + 3) * minutesPerHour
		sweep := func() {
			for hour := int64(aroundMidnight); hour < aroundMidnight+3; hour++ {
				for bundle := range d.bundles {
					d.pack(bundle, hour, cut)
				}
				if _, err := d.packer.Sweep(t.Context(), hour); err != nil {
					t.Fatal(err)
				}
			}
		}
		sweep()
		d.check()
		var read []telemetry.Sample
		var decoder telemetry.Decoder
		for next := f.Next; ; {
			chunks, err := d.StoredFrom(t.Context(), next, 20)
			if err != nil {
				t.Fatal(err)
			}
			if len(chunks) == 0 {
				break
			}
			n := 0
			for _, c := range chunks {
				_, samples, err := decoder.Block(c.Block, nil)
				if err != nil {
					t.Fatal(err)
				}
				n += len(samples)
				read = append(read, samples...)
				next = c.Number + 1
			}
			if n > 20 {
				t.Errorf("%d samples together", n)
			}
		}
		if stored := d.samples[before:]; !slices.Equal(values(read), values(stored)) {
			t.Errorf("%d samples were read of %d", len(read), len(stored))
		}
		if err := d.Pass(t.Context(), Chunks, "reader", f.Next); err != nil {
			t.Fatal(err)
		}
		if now, err := d.Follow(t.Context(), Chunks, "reader"); err != nil || now.Next != f.Next || now.Database != f.Database {
			t.Errorf("%+v, began as %+v, %v", now, f, err)
		}
		if err := d.Unfollow(t.Context(), Chunks, "reader"); err != nil {
			t.Fatal(err)
		}
		d.packAll(cut)
		d.check()
	})
}

// values are samples as texts, in which one without a number is like itself.
func values(samples []telemetry.Sample) (list []string) {
	for _, s := range samples {
		list = append(list, s.Time.Time().String()+s.Value.String()+s.Quality.String())
	}
	slices.Sort(list) // a chunk is by series
	return list
}

// However many series are asked for, each is told with where its gateway is.
func TestSourcesAreManySeries(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		const of = mostAsked/2 + 1
		for _, gateway := range []string{"north", "south"} {
			b := record.Birth{Gateway: gateway, Site: gateway + "-site", Zone: gateway + "-zone", Table: "000000000000000a", Version: 1, Parts: 1}
			for n := range uint32(of) {
				b.Signals = append(b.Signals, telemetry.Signal{ID: telemetry.SignalID(n), Device: "m", Name: fmt.Sprint(n), Kind: telemetry.State, States: telemetry.States{1: "on"}})
			}
			write(t, s, func(tx *Tx) error { return tx.SaveBirth(b) })
		}
		series, err := s.Signals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ids := []telemetry.SignalID{1 << 30} // isn't there
		want := map[telemetry.SignalID]string{}
		for _, of := range series {
			ids = append(ids, of.ID)
			want[of.ID] = fmt.Sprint(of.Gateway, of.Name, of.Gateway+"-site", of.Gateway+"-zone", of.States)
		}
		list, err := s.Sources(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		got := map[telemetry.SignalID]string{}
		for _, of := range list {
			got[of.ID] = fmt.Sprint(of.Gateway, of.Name, of.Site, of.Zone, of.States)
		}
		if len(list) != 2*of || !maps.Equal(got, want) {
			t.Errorf("%d sources of %d", len(list), 2*of)
		}
	})
}
