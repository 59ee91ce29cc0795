package sparkplug

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/busbar/busbar/adapters/sparkplug/host"
)

// names gives series the names of signals: words of letters, digits and underscores with
// dots between them. They are node.device.metric, with the group before it if there may
// be several; what a word can't have is an underscore. Where several of a list would
// have one name, the one that is exactly that keeps it; the others, and who comes later,
// get a suffix that only their own names decide.
type names struct {
	group bool
	taken map[string]string // the origins by name
}

// longestName is that of a signal.
const longestName = 64

// origin says which series it is among all, whatever its type.
func origin(s host.Series) string {
	kind := "metric"
	if s.Live {
		kind = "live"
	}
	return strings.Join([]string{kind, s.Group, s.Node, s.Device, s.Metric}, "/")
}

// assign is the names of a list of series; "" of one that can't have any.
func (n *names) assign(list []host.Series) []string {
	plain := make([]string, len(list))
	exact := make([]bool, len(list))
	claims := map[string]map[string]bool{} // the origins that would have a name
	for i, s := range list {
		plain[i], exact[i] = n.plain(s)
		if claims[plain[i]] == nil {
			claims[plain[i]] = map[string]bool{}
		}
		claims[plain[i]][origin(s)] = true
	}
	for i, s := range list {
		name, from := plain[i], origin(s)
		owner, taken := n.taken[name]
		if taken && owner != from || !taken && len(claims[name]) > 1 && !exact[i] {
			name = suffixed(name, from)
		}
		if owner, taken := n.taken[name]; taken && owner != from {
			plain[i] = ""
			continue
		}
		n.taken[name], plain[i] = from, name
	}
	return plain
}

// plain is the name that a series has if no other one would have it, and whether that is
// just what it is called itself.
func (n *names) plain(s host.Series) (name string, exact bool) {
	parts := []string{s.Node}
	if n.group {
		parts = []string{s.Group, s.Node}
	}
	if s.Device != "" {
		parts = append(parts, s.Device)
	}
	if s.Live {
		parts = append(parts, "Live")
	} else {
		parts = append(parts, strings.Split(s.Metric, "/")...)
	}
	var words []string
	for _, part := range parts {
		for text := range strings.SplitSeq(part, ".") {
			if w := word(text); w != "" {
				words = append(words, w)
			}
		}
	}
	if len(words) == 0 {
		words = []string{"n"}
	}
	name = strings.Join(words, ".")
	if len(name) > longestName {
		return suffixed(name, origin(s)), false
	}
	ambiguous := !s.Live && (s.Metric == "Live" || s.Device == "" && strings.Contains(s.Metric, "/"))
	return name, !ambiguous && len(parts) == len(words) && name == strings.Join(parts, ".")
}

// word is a text as a word of a name.
func word(text string) string {
	var b strings.Builder
	gap := false
	for _, r := range text {
		switch {
		case r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_':
			if gap && b.Len() > 0 {
				b.WriteByte('_')
			}
			if b.Len() == 0 && r >= '0' && r <= '9' {
				b.WriteByte('n')
			}
			if r != '_' || b.Len() > 0 {
				b.WriteRune(r)
			}
			gap = false
		default:
			gap = true
		}
	}
	if b.Len() == 0 && text != "" {
		return "n"
	}
	return b.String()
}

// suffixed is a name with what tells it from others of the same one.
func suffixed(name, from string) string {
	sum := sha256.Sum256([]byte(from))
	suffix := fmt.Sprintf("_%x", sum[:4])
	if len(name) > longestName-len(suffix) {
		name = strings.TrimRight(name[:longestName-len(suffix)], "._")
	}
	return name + suffix
}
