package rules

import (
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/busbar/busbar/telemetry"
)

// maxSummary bounds a summary in bytes, as written and as printed.
const maxSummary = 500

// summary is a rule's sentence for the operator. Of Go's templates it takes
// fields and printf: a sentence needs no more, and every name can be checked.
type summary struct {
	template *template.Template
	fields   [][]string // PhV.phsA is {PhV, phsA}
}

func parseSummary(text string) (*summary, error) {
	if len(text) > maxSummary {
		return nil, fmt.Errorf("it is %d bytes long, expected at most %d", len(text), maxSummary)
	}
	t, err := template.New("summary").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	s := &summary{template: t}
	if t.Tree == nil { // nothing but definitions or comments
		return s, nil
	}
	for _, n := range t.Root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode, *parse.CommentNode:
		case *parse.ActionNode:
			if len(n.Pipe.Decl) > 0 {
				return nil, fmt.Errorf("%s: a summary has no variables", n)
			}
			for _, command := range n.Pipe.Cmds {
				for _, argument := range command.Args {
					if err := s.check(argument); err != nil {
						return nil, err
					}
				}
			}
		default:
			return nil, fmt.Errorf("%s isn't supported in a summary, expected {{ .name }} or {{ printf … }}", n)
		}
	}
	return s, nil
}

func (s *summary) check(argument parse.Node) error {
	switch n := argument.(type) {
	case *parse.FieldNode:
		s.fields = append(s.fields, n.Ident)
		return nil
	case *parse.StringNode, *parse.NumberNode:
		return nil
	case *parse.IdentifierNode:
		if n.Ident == "printf" {
			return nil
		}
	}
	return fmt.Errorf("%s isn't supported in a summary, expected {{ .name }} or {{ printf … }}", argument)
}

// sentence is a summary bound to one target.
type sentence struct {
	template *template.Template
	names    map[string]string // asset, device, rule
	fields   []field
}

type field struct {
	path []string
	slot int32
}

// bindSummary looks up the signals that the summary names.
func (s *scope) bindSummary(text *summary, rule string) (sentence, *fault) {
	out := sentence{template: text.template, names: map[string]string{"asset": s.target.asset, "device": s.target.device, "rule": rule}}
	for _, path := range text.fields {
		name := strings.Join(path, ".")
		if _, ok := out.names[name]; ok {
			continue
		}
		found := s.signals(s.target)[name]
		if len(found) == 0 {
			return out, s.noSignal(nil, name)
		}
		if len(found) > 1 {
			return out, &fault{message: fmt.Sprintf("%s of %s is measured by several devices", name, s.target)}
		}
		out.fields = append(out.fields, field{path, s.slot(found[0])})
	}
	printed, err := out.render(&s.inputs)
	if err != nil {
		return out, &fault{message: err.Error(), missing: s.open(s.target)}
	}
	if len(printed) > maxSummary {
		return out, &fault{message: fmt.Sprintf("it prints %d bytes, expected at most %d", len(printed), maxSummary)}
	}
	return out, nil
}

// reading prints as its signal's value, or as a dash if there is none that
// counts. Seven digits are what a float32 of a meter holds.
type reading float64

func (r reading) String() string {
	if r != r {
		return "–"
	}
	return strconv.FormatFloat(float64(r), 'f', -1, 32)
}

// render fails only if the template asks for a part of something that has none,
// which bindSummary has found out before.
func (s sentence) render(in *inputs) (string, error) {
	data := map[string]any{}
	for key, name := range s.names {
		data[key] = name
	}
	for _, f := range s.fields {
		at := data
		for _, key := range f.path[:len(f.path)-1] {
			below, ok := at[key].(map[string]any)
			if !ok {
				below = map[string]any{}
				at[key] = below
			}
			at = below
		}
		r := reading(in.number(f.slot))
		at[f.path[len(f.path)-1]] = r
		if words := in.inWords(f.slot, float64(r)); words != "" {
			at[f.path[len(f.path)-1]] = words
		}
	}
	var out strings.Builder
	if err := s.template.Execute(&out, data); err != nil {
		return "", err
	}
	return out.String(), nil
}

// inWords is what the names of a slot's values say of one; "" if nothing.
func (in *inputs) inWords(slot int32, v float64) string {
	if i, ok := whole(v); ok {
		return in.signals[slot].InWords(telemetry.IntValue(i))
	}
	return ""
}

// inputsOf are the values of the slots as an event reports them.
func (in *inputs) inputsOf(slots []int32) []telemetry.Input {
	out := make([]telemetry.Input, 0, len(slots))
	for _, n := range slots {
		s := &in.slots[n]
		if s.time == never {
			continue
		}
		signal := in.signals[n]
		i := telemetry.Input{Signal: signal.ID, Name: signal.Name, Device: signal.Device, Unit: signal.Unit, Quality: s.quality.String(), Time: s.time}
		if s.known {
			v := s.number
			i.Value, i.State = &v, in.inWords(n, v)
		}
		out = append(out, i)
	}
	return out
}
