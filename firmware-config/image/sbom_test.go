package image

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar/busbar/test/peer"
)

// The bill is of what the program was linked from, and of nothing else: parts of another
// version, or without a licence of a module, make no image.
func TestAnImageSaysWhatItIsMadeOf(t *testing.T) {
	program := filepath.Join(peer.Root(), "bin", "busbar-gateway")
	linked, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatalf("%v: make build makes it", err)
	}
	list := []Component{{Name: kernelName, Version: "7.1", Licence: "GPL-2.0-only", Source: "https://kernel.example"}, {Name: "firmware", Version: "1", Licence: "LicenseRef-Broadcom"}}
	for _, m := range linked.Deps {
		list = append(list, Component{Name: m.Path, Version: m.Version, Licence: "MIT", PURL: "pkg:golang/" + m.Path + "@" + m.Version})
	}
	s, dir := spec(t), t.TempDir()
	s.Gateway, s.Parts = program, t.TempDir()
	card := filepath.Join(dir, "card.img")
	build := func(list []Component) error {
		t.Helper()
		text, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{ComponentsName: text, LicencesName: []byte("the texts")} {
			if err := os.WriteFile(filepath.Join(s.Parts, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return Build(card, s)
	}
	if err := build(list[:len(list)-1]); err == nil || !strings.Contains(err.Error(), "whose licence the parts don't have") {
		t.Errorf("a module without a licence: %v", err)
	}
	old := append([]Component{}, list...)
	old[len(old)-1].Version = "v0.0.1"
	if err := build(old); err == nil || !strings.Contains(err.Error(), "make both of the same version") {
		t.Errorf("parts of another version: %v", err)
	}
	if err := build(list); err != nil {
		t.Fatal(err)
	}
	bill, licences, err := Materials(card)
	if err != nil || string(licences) != "the texts" {
		t.Fatalf("%s, %v", licences, err)
	}
	var got bom
	if err := json.Unmarshal(bill, &got); err != nil {
		t.Fatal(err)
	}
	kernel := got.Components[1]
	if got.Format != "CycloneDX" || got.Metadata.Component.Version != "1.2.3" || len(got.Components) != len(list)+1 ||
		kernel.Name != kernelName || len(kernel.Hashes) != 1 || kernel.Licences[0].Licence.ID != "GPL-2.0-only" || got.Components[2].Licences[0].Licence.Name != "LicenseRef-Broadcom" {
		t.Errorf("%s", bill)
	}
}
