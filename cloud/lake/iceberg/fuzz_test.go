package iceberg

import "testing"

func FuzzDecode(f *testing.F) {
	f.Add(encodeManifest([]entry{{true, 1, 2, DataFile{"a", 3, 4, 5, map[int][]byte{7: {1}}, nil}}}, schema{}, nil))
	f.Add(encodeList([]manifest{{path: "m", length: 1, lowest: -1, highest: 2}}, 1, 2, 3))
	f.Fuzz(func(t *testing.T, src []byte) {
		decodeManifest(src)
		decodeList(src)
	})
}

func TestManifestsAreReadBack(t *testing.T) {
	entries, err := decodeManifest(encodeManifest([]entry{{true, 1, 2, DataFile{"a", -3, 4, 5, map[int][]byte{7: {1}}, nil}}}, schema{}, nil))
	if err != nil || len(entries) != 1 || !entries[0].existing || entries[0].Path != "a" || entries[0].Day != -3 || entries[0].Bytes != 5 || entries[0].Lower[7][0] != 1 {
		t.Errorf("%+v, %v", entries, err)
	}
	list, err := decodeList(encodeList([]manifest{{path: "m", length: 9, lowest: -1, highest: 2}}, 1, 2, 3))
	if err != nil || len(list) != 1 || list[0].path != "m" || list[0].length != 9 || list[0].lowest != -1 || list[0].highest != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}
