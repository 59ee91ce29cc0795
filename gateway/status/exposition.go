package status

import (
	"io"
	"strconv"
	"strings"
)

// metric describes a family of series. One whose name ends in _total is a counter, any
// other a gauge.
type metric struct {
	name, help string
	labels     []string
}

func describe(name, help string, labels ...string) *metric {
	return &metric{"busbar_gateway_" + name, help, labels}
}

func (m *metric) kind() string {
	if strings.HasSuffix(m.name, "_total") {
		return "counter"
	}
	return "gauge"
}

// exposition is a scrape in Prometheus's text format, version 0.0.4. The client library for
// it would add 2.2 MB to the gateway.
type exposition struct {
	order    []*metric
	families map[*metric][]byte // their series, which belong together
}

const expositionType = "text/plain; version=0.0.4; charset=utf-8"

// add adds a series, with a value for each of the metric's labels.
func (e *exposition) add(m *metric, value float64, labels ...string) {
	if _, has := e.families[m]; !has {
		e.order = append(e.order, m)
	}
	out := append(e.families[m], m.name...)
	for i, name := range m.labels {
		before := ","
		if i == 0 {
			before = "{"
		}
		out = append(out, before+name+`="`+labelEscapes.Replace(labels[i])+`"`...)
	}
	if len(m.labels) > 0 {
		out = append(out, '}')
	}
	out = append(out, ' ')
	out = strconv.AppendFloat(out, value, 'g', -1, 64)
	e.families[m] = append(out, '\n')
}

var (
	labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

// WriteTo implements io.WriterTo.
func (e *exposition) WriteTo(w io.Writer) (written int64, err error) {
	for _, m := range e.order {
		n, err := io.WriteString(w, "# HELP "+m.name+" "+helpEscapes.Replace(m.help)+"\n# TYPE "+m.name+" "+m.kind()+"\n"+string(e.families[m]))
		if written += int64(n); err != nil {
			return written, err
		}
	}
	return written, nil
}
