package record

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
)

func anyRecord(t *rapid.T) Record {
	first := rapid.Uint64Range(0, 1<<62).Draw(t, "first")
	return Record{
		Identity: Identity{
			Gateway: rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,62}`).Draw(t, "gateway"),
			Epoch:   Epoch(rapid.Uint64().Draw(t, "epoch")),
			Stream:  rapid.SampledFrom([]Stream{Events, Telemetry}).Draw(t, "stream"),
			First:   first,
			Last:    first + rapid.Uint64Range(0, MaxCount-1).Draw(t, "count"),
		},
		Format:  rapid.SampledFrom([]string{FormatBlock, FormatEvent}).Draw(t, "format"),
		Payload: rapid.SliceOf(rapid.Byte()).Draw(t, "payload"),
	}
}

// anyKey draws a key pair.
func anyKey(t *rapid.T, label string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(rapid.SliceOfN(rapid.Byte(), ed25519.SeedSize, ed25519.SeedSize).Draw(t, label))
}

// anySigned draws a record that may be signed.
func anySigned(t *rapid.T) Record {
	r := anyRecord(t)
	if rapid.Bool().Draw(t, "signed") {
		r.Sign(anyKey(t, "key"))
	}
	return r
}

func same(a, b Record) bool {
	return a.Identity == b.Identity && a.Format == b.Format && bytes.Equal(a.Payload, b.Payload) && reflect.DeepEqual(a.Seal, b.Seal)
}

func TestDiskFormRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anySigned(t)
		disk, err := want.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var got Record
		if err := got.UnmarshalBinary(disk); err != nil || !same(got, want) {
			t.Fatalf("%v, got %+v, want %+v", err, got, want)
		}
		// Any changed bit is noticed, and so is any cut.
		at := rapid.IntRange(0, len(disk)*8-1).Draw(t, "bit")
		disk[at/8] ^= 1 << (at % 8)
		if err := got.UnmarshalBinary(disk); err == nil {
			t.Fatalf("bit %d was changed unnoticed", at)
		}
		disk[at/8] ^= 1 << (at % 8)
		if err := got.UnmarshalBinary(disk[:rapid.IntRange(0, len(disk)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a cut record was accepted")
		}
	})
}

func TestHeadersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anySigned(t)
		headers := append(want.Headers(), Header{Key: "traceparent", Value: []byte("00-x")})
		got, err := ParseHeaders(headers, want.Payload)
		if err != nil || !same(got, want) {
			t.Fatalf("%v, got %+v, want %+v", err, got, want)
		}
		missing := rapid.IntRange(0, len(want.Headers())-1).Draw(t, "missing")
		_, err = ParseHeaders(append(headers[:missing:missing], headers[missing+1:]...), nil)
		if err == nil || !strings.Contains(err.Error(), headers[missing].Key) || errors.Is(err, ErrSeal) != (missing >= 6) {
			t.Fatalf("without header %s: %v", headers[missing].Key, err)
		}
	})
}

func TestHeadersAreRefused(t *testing.T) {
	good := Record{Identity: Identity{Gateway: "gw", Epoch: 1, Stream: Telemetry, First: 5, Last: 9}, Format: FormatBlock}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	good.Sign(key)
	good.Introductions = []Introduction{Introduce(key, "gw", public(key))}
	if _, err := ParseHeaders(good.Headers(), nil); err != nil {
		t.Fatal(err)
	}
	for key, values := range map[string][]string{
		"gateway":       {"", strings.Repeat("x", 256)},
		"epoch":         {"", "1", "000000000000000g", "00000000000000001"},
		"stream":        {"", "backfill"},
		"seq_first":     {"", "-1", "10", "18446744073709551616"},
		"seq_last":      {"", "4", "x", "16777221"},
		"format":        {strings.Repeat("x", 256)},
		"key_id":        {"", "0000000000000000", "00000000000000AB", "00000000000000001", "00000000000000g1"},
		"signature":     {"", strings.Repeat("x", 63), strings.Repeat("x", 65)},
		"introduced_by": {"", strings.Repeat("x", 103), strings.Repeat("x", 105), strings.Repeat("x", 17*104)},
	} {
		for _, value := range values {
			headers := good.Headers()
			for i := range headers {
				if headers[i].Key == key {
					headers[i].Value = []byte(value)
				}
			}
			if r, err := ParseHeaders(headers, nil); err == nil {
				t.Errorf("%s %q was accepted: %s", key, value, r.Identity)
			}
		}
	}
}

func TestChecksumCoversIdentity(t *testing.T) {
	a := Record{Identity: Identity{Gateway: "gw", Epoch: 1, Stream: Telemetry, Last: 9}, Format: FormatBlock, Payload: []byte("x")}
	for _, change := range []func(*Record){
		func(r *Record) { r.Gateway = "gx" }, func(r *Record) { r.Epoch++ }, func(r *Record) { r.Stream = Events },
		func(r *Record) { r.First++ }, func(r *Record) { r.Last++ }, func(r *Record) { r.Format = FormatEvent },
		func(r *Record) { r.Payload = []byte("y") },
	} {
		b := a
		change(&b)
		if a.Checksum() == b.Checksum() {
			t.Errorf("%+v and %+v have one checksum", a, b)
		}
	}
}

func TestSplitBirthKeepsEverySignalOnce(t *testing.T) {
	for _, n := range []int{0, 1, SignalsPerBirth, SignalsPerBirth + 1, 3*SignalsPerBirth - 1} {
		b := Birth{Gateway: "gw", Table: "00000000000000ab", Version: 3}
		for i := range n {
			b.Signals = append(b.Signals, telemetry.Signal{ID: telemetry.SignalID(i)})
		}
		parts := SplitBirth(b)
		var all []telemetry.Signal
		keys := map[string]bool{}
		for i, p := range parts {
			if p.Part != i || p.Parts != len(parts) {
				t.Errorf("%d signals: part %d of %d calls itself %d of %d", n, i, len(parts), p.Part, p.Parts)
			}
			if text, err := json.Marshal(p); err != nil || len(text) > 1<<20 {
				t.Errorf("%d signals: a part of %d bytes, %v", n, len(text), err)
			}
			keys[p.Key()] = true
			all = append(all, p.Signals...)
		}
		if !reflect.DeepEqual(all, b.Signals) || len(keys) != len(parts) {
			t.Errorf("%d signals: %d in %d parts with %d keys", n, len(all), len(parts), len(keys))
		}
	}
}

// However many names values have, no part is larger than a log takes.
func TestSplitBirthByNames(t *testing.T) {
	b := Birth{Gateway: "gw", Table: "00000000000000ab", Version: 3}
	for i := range SignalsPerBirth {
		states := telemetry.States{}
		for v := range int64(i % 300) {
			states[v-100] = strings.Repeat("x<", 30)
		}
		b.Signals = append(b.Signals, telemetry.Signal{ID: telemetry.SignalID(i), Device: "d", Name: "n", States: states})
	}
	n := 0
	for _, p := range SplitBirth(b) {
		text, err := json.Marshal(p)
		if err != nil || len(text) > 1<<19 {
			t.Fatalf("a part of %d bytes, %v", len(text), err)
		}
		if back, err := ParseBirth([]byte(p.Key()), text); err != nil || len(back.Signals) != len(p.Signals) || len(back.Signals[len(back.Signals)-1].States) != len(p.Signals[len(p.Signals)-1].States) {
			t.Fatalf("%+v, %v", back, err)
		}
		n += len(p.Signals)
	}
	if n != SignalsPerBirth {
		t.Errorf("%d signals", n)
	}
}

func FuzzUnmarshal(f *testing.F) {
	r := Record{Identity: Identity{Gateway: "gw", Epoch: 1, Stream: Telemetry, Last: 9}, Format: FormatBlock, Payload: []byte("payload")}
	for _, sign := range []bool{false, true} {
		if sign {
			r.Sign(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
		}
		disk, err := r.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(disk)
		f.Add(disk[:20])
		f.Add(disk[:len(disk)-len("payload")-10])
	}
	f.Add(unsignedForm)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, src []byte) {
		var r Record
		if r.UnmarshalBinary(src) != nil {
			return
		}
		if src[0] == unsignedVersion {
			if r.Signed() || r.Checksum() != binary.BigEndian.Uint32(src[len(src)-len(r.Payload)-4:]) {
				t.Errorf("read %+v from the form without signatures %x", r, src)
			}
			return
		}
		again, err := r.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, src) {
			t.Errorf("read %+v, which is written as %x, not %x: %v", r, again, src, err)
		}
	})
}

func FuzzParseHeaders(f *testing.F) {
	f.Add("gw", "0000000000000001", "events", "0", "0", "event/1", "00000000000000ab", make([]byte, 64), make([]byte, 104))
	f.Add("", "x", "", "-1", "18446744073709551615", "", "", []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, gateway, epoch, stream, first, last, format, keyID string, signature, introductions []byte) {
		headers := []Header{
			{"gateway", []byte(gateway)}, {"epoch", []byte(epoch)}, {"stream", []byte(stream)},
			{"seq_first", []byte(first)}, {"seq_last", []byte(last)}, {"format", []byte(format)},
			{"key_id", []byte(keyID)}, {"signature", signature}, {"introduced_by", introductions},
		}
		r, err := ParseHeaders(headers, nil)
		if err != nil {
			return
		}
		if r.Count() == 0 || r.Count() > MaxCount || r.Gateway == "" || !r.Signed() {
			t.Errorf("accepted %+v", r)
		}
		if again, err := ParseHeaders(r.Headers(), nil); err != nil || !same(again, r) {
			t.Errorf("%+v was read again as %+v: %v", r, again, err)
		}
	})
}
