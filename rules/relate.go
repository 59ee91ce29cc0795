package rules

import (
	"fmt"
	"maps"
	"slices"

	"github.com/busbar/busbar/configfile"
)

// origin is where an instance comes from.
type origin struct {
	entry        int
	suppressedBy []string
	partial      bool // rules of the library, not all of which need be used
}

// link finds for each instance those that suppress it, and those of its group.
func (c *compiler) link() {
	about := map[claim][]int32{} // instances of a rule by their target
	on := map[claim][]int32{}    // those about devices, by the asset
	names := map[string]bool{}
	groups := map[claim][]int32{}
	for n := range c.instances {
		i := &c.instances[n]
		names[i.rule] = true
		about[claim{i.rule, i.target}] = append(about[claim{i.rule, i.target}], int32(n))
		if i.target.device != "" {
			key := claim{i.rule, target{asset: i.target.asset}}
			on[key] = append(on[key], int32(n))
		}
		if i.group != "" {
			key := claim{i.group, target{asset: i.target.asset}}
			if i.target.asset == "" {
				key.target = i.target
			}
			groups[key] = append(groups[key], int32(n))
		}
	}
	for _, members := range groups {
		for _, n := range members {
			c.instances[n].peers = members
		}
	}
	for n, o := range c.origins {
		i := &c.instances[n]
		for at, name := range o.suppressedBy {
			for _, outer := range c.around(i.target) {
				found := about[claim{name, outer}]
				if i.target.device == "" && outer.device == "" {
					found = slices.Concat(found, on[claim{name, outer}])
				}
				for _, m := range found {
					if int(m) != n {
						i.suppressors = append(i.suppressors, m)
						c.instances[m].suppresses = append(c.instances[m].suppresses, int32(n))
					}
				}
			}
			if !names[name] && !o.partial {
				c.noRule(o.entry, configfile.Item("suppressed_by", at), name, slices.Sorted(maps.Keys(names)))
			}
		}
	}
	c.rank()
}

func (c *compiler) noRule(entry int, field, name string, known []string) {
	p := Problem{Rule: entry, Field: field, Err: noSuch("rule", name, known)}
	for _, other := range c.problems {
		if other.Rule == entry && other.Field == field {
			return // of another target
		}
	}
	c.problems = append(c.problems, p)
}

// around are the targets of which holds for t what is said of them: itself, its asset
// and those that this is part of, its bus, and the gateway.
func (w *network) around(t target) []target {
	all := []target{t}
	if t.device != w.gateway {
		all = append(all, target{w.devices[w.gateway].Asset, w.gateway})
	}
	if bus := w.devices[t.device].Bus; bus != "" {
		all = append(all, target{w.assetOf(bus), bus})
	}
	asset := t.asset
	if t.device == "" {
		asset = w.assets[asset].Parent
	}
	// An asset may be its own ancestor by mistake, which isn't for rules to say.
	for asset != "" && !slices.Contains(all, target{asset: asset}) {
		all = append(all, target{asset: asset})
		asset = w.assets[asset].Parent
	}
	return all
}

// rank numbers the instances so that those which suppress come before those that are
// suppressed.
func (c *compiler) rank() {
	const visiting = -1
	var visit func(n int32) bool
	visit = func(n int32) bool {
		i := &c.instances[n]
		if i.rank != 0 {
			return i.rank != visiting
		}
		i.rank = visiting
		highest := int32(0)
		for _, m := range i.suppressors {
			if !visit(m) {
				return false
			}
			highest = max(highest, c.instances[m].rank)
		}
		i.rank = highest + 1
		return true
	}
	for n := range c.instances {
		if !visit(int32(n)) {
			c.problems = append(c.problems, Problem{Rule: c.origins[n].entry, Field: "suppressed_by",
				Err: fmt.Errorf("rule %s is suppressed by what it suppresses itself", c.instances[n].rule)})
			return
		}
	}
}
