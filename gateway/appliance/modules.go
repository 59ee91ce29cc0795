//go:build linux

package appliance

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// modules are those of a kernel that doesn't have everything built in, as depmod lists them:
// modules.dep, modules.alias and modules.softdep of modules.dep(5) and modprobe.d(5). They
// are loaded by their names and by those of what they are drivers for, and only once.
type modules struct {
	load    func(file string) error
	files   map[string]string   // by module
	before  map[string][]string // files that a file needs, in the order in which they are loaded
	wanted  map[string][]string // names that a module does with, and better with than without
	aliases map[string][]alias  // by what is before the first colon
	loaded  map[string]bool     // files, also those that can't be
}

// alias is a pattern of names that a module is for.
type alias struct{ pattern, module string }

// readModules reads the lists of a directory.
func readModules(dir fs.FS, load func(file string) error) (*modules, error) {
	m := &modules{load: load, files: map[string]string{}, before: map[string][]string{}, wanted: map[string][]string{}, aliases: map[string][]alias{}, loaded: map[string]bool{}}
	return m, errors.Join(
		eachLine(dir, "modules.dep", func(words []string) { // FILE: FILE...
			file := strings.TrimSuffix(words[0], ":")
			m.files[moduleOf(file)] = file
			needs := slices.Clone(words[1:])
			slices.Reverse(needs) // what needs others is before them
			m.before[file] = needs
		}),
		eachLine(dir, "modules.softdep", func(words []string) { // softdep MODULE pre: NAME... post: NAME...
			if len(words) < 3 || words[2] != "pre:" {
				return
			}
			names := words[3:]
			if end := slices.Index(names, "post:"); end >= 0 {
				names = names[:end]
			}
			m.wanted[words[1]] = names
		}),
		eachLine(dir, "modules.alias", func(words []string) { // alias PATTERN MODULE
			if len(words) == 3 {
				kind := kindOf(words[1])
				m.aliases[kind] = append(m.aliases[kind], alias{words[1], words[2]})
			}
		}))
}

func eachLine(dir fs.FS, name string, do func(words []string)) error {
	file, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 0 && words[0] != "#" {
			do(words)
		}
	}
	return lines.Err()
}

// moduleOf is the name of the module in a file.
func moduleOf(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".ko"), "-", "_")
}

// kindOf is what kind of device a name is of, and a pattern, as acpi*:PNP0D40:* is.
func kindOf(name string) string {
	kind, _, named := strings.Cut(name, ":")
	if !named {
		return ""
	}
	return strings.TrimSuffix(kind, "*")
}

// want loads what there is for a name: the module that is called so, or those whose aliases
// match and that are among some, if any are given. There may be none. The error is about those
// that the kernel refuses.
func (m *modules) want(name string, among ...string) error {
	if file := m.files[strings.ReplaceAll(name, "-", "_")]; file != "" {
		return m.add(file)
	}
	var errs []error
	for _, a := range m.aliases[kindOf(name)] {
		if len(among) > 0 && !slices.Contains(among, a.module) {
			continue
		}
		if a.fits(name) {
			errs = append(errs, m.add(m.files[a.module]))
		}
	}
	return errors.Join(errs...)
}

// fits reports whether a name is of the pattern, as fnmatch(3) does without flags, by which
// modprobe matches: a slash is a letter like others.
func (a alias) fits(name string) bool {
	plain := func(text string) string { return strings.ReplaceAll(text, "/", "\x00") }
	fits, err := path.Match(plain(a.pattern), plain(name))
	return err == nil && fits
}

// add loads a file, and before it what that needs.
func (m *modules) add(file string) error {
	var errs []error
	for _, f := range append(slices.Clone(m.before[file]), file) {
		if f == "" || m.loaded[f] {
			continue
		}
		m.loaded[f] = true
		for _, name := range m.wanted[moduleOf(f)] {
			errs = append(errs, m.want(name))
		}
		errs = append(errs, m.load(f))
	}
	return errors.Join(errs...)
}

// loadModule has the kernel load a file. What is there already, and what is for a processor
// or a machine that this isn't, is no error.
func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENODEV) {
		return &fs.PathError{Op: "load", Path: file, Err: err}
	}
	return nil
}
