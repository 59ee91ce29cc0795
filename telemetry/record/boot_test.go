package record

import (
	"bytes"
	"testing"
)

func TestBoot(t *testing.T) {
	const text = "717f154b-6e97-439a-83f8-f8aed9384d83"
	b, err := ParseBoot(text)
	if err != nil || b.String() != text || b[0] != 0x71 || b[15] != 0x83 {
		t.Errorf("%v, %v", b, err)
	}
	for _, bad := range []string{"", text + "0", "717f154b", "g" + text[1:]} {
		if _, err := ParseBoot(bad); err == nil {
			t.Errorf("%q is taken for a boot's id", bad)
		}
	}
	payload := AppendHeld([]byte("x"), b, []byte("polls"), []byte("block"))[1:]
	if got, polls, block, err := CutHeld(FormatHeld, payload); got != b || string(polls) != "polls" || string(block) != "block" || err != nil {
		t.Errorf("%v, %q, %q, %v", got, polls, block, err)
	}
	for n := range 16 + 4 + 5 {
		if _, _, _, err := CutHeld(FormatHeld, payload[:n]); err == nil {
			t.Errorf("%d bytes are taken for a boot's id and polls", n)
		}
	}
	// As earlier versions wrote it.
	if got, polls, block, err := CutHeld(FormatBootBlock, append(b[:], "block"...)); got != b || polls != nil || string(block) != "block" || err != nil {
		t.Errorf("%v, %q, %q, %v", got, polls, block, err)
	}
	if _, _, _, err := CutHeld(FormatBootBlock, payload[:15]); err == nil {
		t.Error("15 bytes are taken for a boot's id")
	}
}

func FuzzCutHeld(f *testing.F) {
	f.Add([]byte("0123456789abcdefblock"))
	f.Add(AppendHeld(nil, Boot{}, []byte("polls"), []byte("block")))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if b, polls, block, err := CutHeld(FormatHeld, payload); err == nil && !bytes.Equal(AppendHeld(nil, b, polls, block), payload) {
			t.Errorf("%x", payload)
		}
		CutHeld(FormatBootBlock, payload)
	})
}
