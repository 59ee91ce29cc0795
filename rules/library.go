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
	file, only, _ := strings.Cut(r.Use, "/")
	if err := known("the standard library", file, libraryNames()); err != nil {
		return nil, nil, "use", err
	}
	for key, value := range map[string]string{"name": r.Name, "when": r.When, "clear_when": r.ClearWhen, "summary": r.Summary, "group": r.Group, "method": r.Method} {
		if value != "" {
			return nil, nil, key, fmt.Errorf("%s comes from %s and can't be changed; write a rule of your own, without use", key, r.Use)
		}
	}
	f, err := openLibrary(file)
	if err != nil {
		return nil, nil, "use", err
	}
	if only != "" {
		if err := known(file, only, f.names()); err != nil {
			return nil, nil, "use", err
		}
		f.Rules = slices.DeleteFunc(f.Rules, func(x Rule) bool { return x.Name != only })
	}
	if r.On != (Target{}) {
		// What is about a bus or the gateway isn't about a part of what that serves.
		f.Rules = slices.DeleteFunc(f.Rules, func(x Rule) bool {
			return (x.On.Bus != "") != (r.On.Bus != "") || x.On.Gateway != r.On.Gateway
		})
	}
	if len(f.Rules) == 0 {
		return nil, nil, "on", fmt.Errorf("no rule of %s is about that", r.Use)
	}
	if parameters, field, err = f.fill(r.With); err != nil {
		return nil, nil, field, err
	}
	for i := range f.Rules {
		f.Rules[i].override(r)
	}
	return f.Rules, parameters, "", nil
}

// known says what is wrong if a name isn't among those that there are.
func known(where, name string, names []string) error {
	if slices.Contains(names, name) {
		return nil
	}
	if nearest := configfile.Nearest(name, names); nearest != "" {
		return fmt.Errorf("%s has no %q, did you mean %s?", where, name, nearest)
	}
	return fmt.Errorf("%s has no %q, expected one of %s", where, name, strings.Join(names, ", "))
}

func (f libraryFile) names() []string {
	names := make([]string, len(f.Rules))
	for i, r := range f.Rules {
		names[i] = r.Name
	}
	return names
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
	if by.On.Bus != "" {
		r.On.Bus = by.On.Bus
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
	if by.Latch {
		r.Latch = true
	}
	if by.SuppressedBy != nil {
		r.SuppressedBy = by.SuppressedBy
	}
	if by.SuppressedWhen != "" {
		r.SuppressedWhen = by.SuppressedWhen
	}
	if by.Capture != nil {
		r.Capture = by.Capture
	}
}
