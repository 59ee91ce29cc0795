package image

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Component is one that an image is made of.
type Component struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Licence string `json:"licence"` // by its name of SPDX
	Source  string `json:"source"`  // where it is to be had
	PURL    string `json:"purl,omitempty"`
}

// Files of the parts, and of an image.
const (
	ComponentsName = "components.json"
	LicencesName   = "licences.txt"
	SBOMName       = "sbom.cdx.json"
)

// bom is a software bill of materials by CycloneDX 1.5.
type bom struct {
	Format     string         `json:"bomFormat"`
	Version    string         `json:"specVersion"`
	Revision   int            `json:"version"`
	Metadata   bomMetadata    `json:"metadata"`
	Components []bomComponent `json:"components"`
}

type bomMetadata struct {
	Component bomComponent `json:"component"`
}

type bomComponent struct {
	Type       string         `json:"type"`
	Name       string         `json:"name"`
	Version    string         `json:"version,omitempty"`
	PURL       string         `json:"purl,omitempty"`
	Hashes     []bomHash      `json:"hashes,omitempty"`
	Licences   []bomLicence   `json:"licenses,omitempty"`
	References []bomReference `json:"externalReferences,omitempty"`
}

type bomHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type bomLicence struct {
	Licence struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name,omitempty"`
	} `json:"license"`
}

type bomReference struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

func (c Component) bom(kind string) bomComponent {
	b := bomComponent{Type: kind, Name: c.Name, Version: c.Version, PURL: c.PURL}
	var l bomLicence
	if strings.HasPrefix(c.Licence, "LicenseRef-") {
		l.Licence.Name = c.Licence
	} else {
		l.Licence.ID = c.Licence
	}
	if c.Licence != "" {
		b.Licences = []bomLicence{l}
	}
	if c.Source != "" {
		b.References = []bomReference{{"distribution", c.Source}}
	}
	return b
}

// materials are the bill of what the image is made of and the texts of its licences, of a
// directory of parts that has them. What the gateway's program was linked from is read off
// that itself.
func (s Spec) materials() ([]file, error) {
	if s.Parts == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(s.Parts, ComponentsName))
	if err != nil {
		return nil, err
	}
	var parts []Component
	if err := json.Unmarshal(text, &parts); err != nil {
		return nil, fmt.Errorf("%s: %w", ComponentsName, err)
	}
	linked, err := buildinfo.ReadFile(s.Gateway)
	if err != nil {
		return nil, fmt.Errorf("what the gateway's program is linked from: %w", err)
	}
	about := bom{Format: "CycloneDX", Version: "1.5", Revision: 1}
	about.Metadata.Component = Component{Name: "busbar image for " + string(s.Target), Version: s.Version}.bom("firmware")
	program := Component{Name: linked.Main.Path, Version: s.Version, Licence: "Apache-2.0", Source: "https://" + linked.Main.Path}.bom("application")
	if program.Hashes, err = hashed(s.Gateway); err != nil {
		return nil, err
	}
	about.Components = append(about.Components, program)
	versions := map[string]string{}
	for _, m := range linked.Deps {
		versions[m.Path] = m.Version
	}
	for _, c := range parts {
		kind := "library"
		if c.PURL == "" {
			kind = "operating-system"
		} else if v := versions[c.Name]; v != "" && v != c.Version {
			return nil, fmt.Errorf("the gateway's program has %s %s, and the parts are of %s: make both of the same version", c.Name, v, c.Version)
		}
		delete(versions, c.Name)
		b := c.bom(kind)
		if c.Name == kernelName {
			if b.Hashes, err = hashed(s.Kernel); err != nil {
				return nil, err
			}
		}
		about.Components = append(about.Components, b)
	}
	for name := range versions {
		return nil, fmt.Errorf("the gateway's program has %s, whose licence the parts don't have: make both of the same version", name)
	}
	out, err := json.MarshalIndent(about, "", "  ")
	if err != nil {
		return nil, err
	}
	return []file{{name: SBOMName, content: append(out, '\n')}, {name: LicencesName, from: filepath.Join(s.Parts, LicencesName)}}, nil
}

// kernelName is what the parts call the kernel.
const kernelName = "linux"

func hashed(path string) ([]bomHash, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return []bomHash{{"SHA-256", fmt.Sprintf("%x", sha256.Sum256(content))}}, nil
}

// Materials is the bill of materials that an image has, and the texts of its licences.
func Materials(path string) (bill, licences []byte, err error) {
	d, err := readOnly(path)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	p, err := bootOf(d)
	if err != nil {
		return nil, nil, err
	}
	boot, err := d.GetFilesystem(p.number)
	if err != nil {
		return nil, nil, err
	}
	if bill, err = readFile(boot, SBOMName); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", SBOMName, err)
	}
	licences, err = readFile(boot, LicencesName)
	return bill, licences, err
}
