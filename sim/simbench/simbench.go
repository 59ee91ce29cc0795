// Package simbench has measured load profiles of households, businesses and
// farms: the first eight weeks of 2016 from the SimBench data set, one value a
// quarter-hour. LICENSE.md says whose they are.
package simbench

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed load_15min_8weeks.csv
var file string

var embedded = sync.OnceValue(func() []Profile {
	profiles, err := Parse(strings.NewReader(file))
	if err != nil {
		panic(fmt.Sprintf("simbench: load_15min_8weeks.csv: %v", err))
	}
	return profiles
})

// Names lists the profiles, sorted: G0-A, H0-A and so on, where G is business,
// H household and L farm.
func Names() []string {
	var names []string
	for _, p := range embedded() {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

// Load is the profile of a name that Names lists.
func Load(name string) (Profile, error) {
	for _, p := range embedded() {
		if p.Name == name {
			return p, nil
		}
	}
	return Profile{}, fmt.Errorf("no profile %q; there are %s", name, strings.Join(Names(), ", "))
}
