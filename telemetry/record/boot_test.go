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
	payload := AppendBoot([]byte("x"), b, []byte("block"))[1:]
	if got, block, err := CutBoot(payload); got != b || string(block) != "block" || err != nil {
		t.Errorf("%v, %q, %v", got, block, err)
	}
	if _, _, err := CutBoot(payload[:15]); err == nil {
		t.Error("15 bytes are taken for a boot's id")
	}
}

func FuzzCutBoot(f *testing.F) {
	f.Add([]byte("0123456789abcdefblock"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if b, block, err := CutBoot(payload); err == nil && !bytes.Equal(AppendBoot(nil, b, block), payload) {
			t.Errorf("%x", payload)
		}
	})
}
