package rules

import (
	"fmt"
	"slices"

	"github.com/busbar/busbar/configfile"
)

// origin is where an instance comes from.
type origin struct {
	entry        int
	library      bool
	suppressedBy []string
}

// link finds for each instance those that suppress it, and those of its group.
func (c *compiler) link() {
	byRule := map[string][]int32{}
	groups := map[[2]string][]int32{}
	for n := range c.instances {
		i := &c.instances[n]
		byRule[i.rule] = append(byRule[i.rule], int32(n))
		if i.group != "" {
			key := [2]string{i.group, i.target.asset}
			if i.target.asset == "" {
				key[1] = i.target.device
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
		for at, name := range o.suppressedBy {
			for _, m := range byRule[name] {
				if int(m) != n && c.contains(c.instances[m].target, c.instances[n].target) {
					c.instances[n].suppressors = append(c.instances[n].suppressors, m)
					c.instances[m].suppresses = append(c.instances[m].suppresses, int32(n))
				}
			}
			// A part of the library may be used without what it is suppressed by.
			if byRule[name] == nil && !o.library {
				c.noRule(o.entry, configfile.Item("suppressed_by", at), name, byRule)
			}
		}
	}
	c.rank()
}

func (c *compiler) noRule(entry int, field, name string, byRule map[string][]int32) {
	var known []string
	for rule := range byRule {
		known = append(known, rule)
	}
	slices.Sort(known)
	p := Problem{Rule: entry, Field: field, Err: noSuch("rule", name, known)}
	if !slices.Contains(c.problems, p) {
		c.problems = append(c.problems, p)
	}
}

// contains reports whether what is said of the outer target holds for the inner one.
func (w *network) contains(outer, inner target) bool {
	switch {
	case outer == inner, outer.device != "" && outer.device == w.gateway:
		return true
	case outer.device != "" && inner.device != "":
		return slices.Contains(w.buses[outer.device], inner.device)
	case outer.asset == "":
		return false
	}
	// An asset may be its own ancestor by mistake, which isn't for rules to say.
	for asset, steps := inner.asset, 0; asset != "" && steps <= len(w.assetIDs); asset, steps = w.assets[asset].Parent, steps+1 {
		if asset == outer.asset {
			return true
		}
	}
	return false
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
