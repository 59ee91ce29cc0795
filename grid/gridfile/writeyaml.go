package gridfile

import (
	"bufio"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/busbar/busbar/grid"
)

// WriteYAML writes a model, each asset in a line, in the model's order. What
// holds without being said isn't written. Reading it gives an equal model,
// places aside, if its texts are UTF-8 and its numbers finite.
func WriteYAML(w io.Writer, m *grid.Model) error {
	out := bufio.NewWriter(w)
	if m.Name != "" {
		fmt.Fprintf(out, "name: %s\n", scalar(m.Name))
	}
	if m.Coordinates != grid.Local {
		fmt.Fprintf(out, "coordinates: %s\n", m.Coordinates)
	}
	model := reflect.ValueOf(m).Elem()
	for i := range sections {
		s := &sections[i]
		list := model.Field(s.index)
		if list.Len() == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s:\n", s.name)
		for j := range list.Len() {
			s.writeItem(out, list.Index(j))
		}
	}
	return out.Flush()
}

func (s *section) writeItem(out *bufio.Writer, item reflect.Value) {
	out.WriteString("  - {")
	comma := ""
	for _, f := range s.fields {
		v := item.FieldByIndex(f.index)
		if !f.required && !s.says(f, v) {
			continue
		}
		fmt.Fprintf(out, "%s%s: %s", comma, f.name, yamlText(v))
		comma = ", "
	}
	out.WriteString("}\n")
}

func yamlText(v reflect.Value) string {
	if v.Kind() == reflect.String {
		return scalar(v.String())
	}
	if s := text(v); !strings.Contains(s, ":") && s != "" {
		return s
	}
	return strconv.Quote(text(v))
}

// plain is text that every reader of YAML takes as it is.
var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9][A-Za-z0-9_./-]*)*$`)

// words are plain and mean something else to some readers.
var words = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"}

func scalar(s string) string {
	if plain.MatchString(s) && !slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(s, w) }) {
		return s
	}
	return strconv.Quote(s)
}
