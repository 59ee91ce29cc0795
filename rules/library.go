package rules

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/busbar/busbar/configfile"
)

// library holds the standard rules. The numbers in a file are parameters, each
// with its source.
//
//go:embed library/*.yaml
var library embed.FS

type libraryFile struct {
	Parameters map[string]parameter `yaml:"parameters"`
	Rules      []Rule               `yaml:"rules,required"`
}

// parameter is a magnitude that a site may set for itself.
type parameter struct {
	Default configfile.Quantity `yaml:"default,required"`
	Source  string              `yaml:"source,required"`
}

func libraryNames() []string {
	entries, err := library.ReadDir("library")
	if err != nil {
		panic(err) // embedded
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}

func openLibrary(name string) (libraryFile, error) {
	var f libraryFile
	path := "library/" + name + ".yaml"
	source, err := library.ReadFile(path)
	if err != nil {
		return f, err
	}
	_, err = configfile.Decode(path, source, &f)
	return f, err
}

// expand is what an entry stands for: its own rule, or those that it uses with
// their parameters. Field names the entry's key that an error is about.
func (r Rule) expand() (rules []Rule, parameters map[string]configfile.Quantity, field string, err error) {
	if r.Use == "" {
		return []Rule{r}, r.With, "", nil
	}
	if names := libraryNames(); !slices.Contains(names, r.Use) {
		message := fmt.Sprintf("the standard library has no %q", r.Use)
		if nearest := configfile.Nearest(r.Use, names); nearest != "" {
			return nil, nil, "use", fmt.Errorf("%s, did you mean %s?", message, nearest)
		}
		return nil, nil, "use", fmt.Errorf("%s, expected one of %s", message, strings.Join(names, ", "))
	}
	for key, value := range map[string]string{"name": r.Name, "when": r.When, "clear_when": r.ClearWhen, "summary": r.Summary} {
		if value != "" {
			return nil, nil, key, fmt.Errorf("%s comes from %s and can't be changed; write a rule of your own, without use", key, r.Use)
		}
	}
	f, err := openLibrary(r.Use)
	if err != nil {
		return nil, nil, "use", err
	}
	if parameters, field, err = f.fill(r.With); err != nil {
		return nil, nil, field, err
	}
	for i := range f.Rules {
		f.Rules[i].override(r)
	}
	return f.Rules, parameters, "", nil
}

// fill takes the values given for the file's parameters, and the defaults.
func (f libraryFile) fill(given map[string]configfile.Quantity) (values map[string]configfile.Quantity, field string, err error) {
	names := slices.Sorted(maps.Keys(f.Parameters))
	for _, name := range slices.Sorted(maps.Keys(given)) {
		p, ok := f.Parameters[name]
		if !ok {
			message := "there is no such parameter"
			if nearest := configfile.Nearest(name, names); nearest != "" {
				return nil, configfile.Join("with", name), fmt.Errorf("%s, did you mean %s?", message, nearest)
			}
			return nil, configfile.Join("with", name), fmt.Errorf("%s, expected one of %s", message, strings.Join(names, ", "))
		}
		if q := given[name]; q.Unit != p.Default.Unit || q.Value <= 0 {
			return nil, configfile.Join("with", name), fmt.Errorf("it is %s, expected a value above 0 in %s, such as %s", q, p.Default.Unit, p.Default)
		}
	}
	values = map[string]configfile.Quantity{}
	for name, p := range f.Parameters {
		values[name] = p.Default
	}
	maps.Copy(values, given)
	return values, "", nil
}

// override sets what the entry that uses the rule may change.
func (r *Rule) override(by Rule) {
	if by.On.Asset != "" {
		r.On.Asset = by.On.Asset
	}
	if by.On.Kind != "" {
		r.On.Kind = by.On.Kind
	}
	if by.On.Device != "" {
		r.On.Device = by.On.Device
	}
	if by.For != nil {
		r.For = by.For
	}
	if by.KeepFiringFor != nil {
		r.KeepFiringFor = by.KeepFiringFor
	}
	if by.Priority != "" {
		r.Priority = by.Priority
	}
}
