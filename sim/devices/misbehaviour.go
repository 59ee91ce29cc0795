package devices

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/configfile"
)

// Kind is something that devices do wrong.
type Kind string

const (
	Silent           Kind = "silent"
	Late             Kind = "late"
	Split            Kind = "split"
	Drip             Kind = "drip"
	Duplicate        Kind = "duplicate"
	Stale            Kind = "stale"
	Garbage          Kind = "garbage"
	Noise            Kind = "noise"
	Short            Kind = "short"
	Long             Kind = "long"
	Truncated        Kind = "truncated"
	WrongTransaction Kind = "wrong-transaction"
	WrongProtocol    Kind = "wrong-protocol"
	WrongLength      Kind = "wrong-length"
	WrongUnit        Kind = "wrong-unit"
	WrongFunction    Kind = "wrong-function"
	WrongChecksum    Kind = "wrong-checksum"
	Refuse           Kind = "exception"
	Busy             Kind = "busy"
	GatewayPath      Kind = "gateway-path"
	GatewayTarget    Kind = "gateway-target"
	Holes            Kind = "holes"
	Limit            Kind = "limit"
	Stuck            Kind = "stuck"
	CounterReset     Kind = "counter-reset"
	HangUp           Kind = "hang-up"
	Reset            Kind = "reset"
	OneClient        Kind = "one-client"
	Restart          Kind = "restart"
)

// KindInfo describes a kind to people.
type KindInfo struct {
	Kind     Kind
	Argument string // D, N or A-B after an equals sign; "" if it takes none
	Default  string // of the argument; "": it has to be given
	Where    Where
	About    string

	once    bool // and not at every request, unless something else is said
	altered bool // what is sent has other values, so that nobody can take it for an answer and be right
}

// Where a kind can be shown.
type Where string

const (
	Anywhere      Where = ""
	OnTCP         Where = "Modbus TCP"
	OnLines       Where = "RTU"
	OnConnections Where = "TCP connections"
)

// Kinds are all kinds, in the order in which they are listed to people.
func Kinds() []KindInfo { return slices.Clone(kinds) }

var kinds = []KindInfo{
	{Kind: Silent, About: "takes the request and says nothing"},
	{Kind: Late, Argument: "D", Default: "1s", About: "answers after D"},
	{Kind: Split, Argument: "D", Default: "20ms", About: "answers in two parts, the second after D"},
	{Kind: Drip, Argument: "D", Default: "100ms", About: "answers in single bytes, D apart"},
	{Kind: Duplicate, About: "answers twice"},
	{Kind: Stale, Where: OnTCP, About: "sends its answer to an earlier request once more before it answers"},
	{Kind: Garbage, Argument: "N", Default: "32", About: "sends N bytes that mean nothing in place of the answer"},
	{Kind: Noise, Argument: "N", Default: "3", About: "sends N bytes that mean nothing as well: on a line before the answer, else after it"},
	{Kind: Short, altered: true, About: "answers with a register less than was asked for"},
	{Kind: Long, altered: true, About: "answers with a register more than was asked for"},
	{Kind: Truncated, Argument: "N", Default: "1", altered: true, About: "leaves out the answer's last N bytes"},
	{Kind: WrongTransaction, Argument: "N", Default: "-1", Where: OnTCP, altered: true, About: "adds N to the transaction id"},
	{Kind: WrongProtocol, Where: OnTCP, altered: true, About: "answers with another protocol id"},
	{Kind: WrongLength, Argument: "N", Default: "1", Where: OnTCP, altered: true, About: "adds N to the length field"},
	{Kind: WrongUnit, Argument: "N", Default: "1", altered: true, About: "adds N to the unit"},
	{Kind: WrongFunction, altered: true, About: "answers as if asked for another table"},
	{Kind: WrongChecksum, Where: OnLines, altered: true, About: "answers with a wrong checksum"},
	{Kind: Refuse, Argument: "N", Default: "4", About: "answers with exception N"},
	{Kind: Busy, About: "answers with exception 6: busy"},
	{Kind: GatewayPath, About: "answers with exception 10, a gateway's that has no path to the unit"},
	{Kind: GatewayTarget, About: "answers with exception 11, a gateway's whose unit didn't answer"},
	{Kind: Holes, Argument: "A-B", About: "refuses, with exception 2, what touches the addresses A to B"},
	{Kind: Limit, Argument: "N", Default: "60", About: "refuses, with exception 3, more than N registers or bits at a time"},
	{Kind: Stuck, About: "gives the same values to the same request again and again"},
	{Kind: CounterReset, once: true, About: "counts its energy from 0 on again; once, unless every or chance is given"},
	{Kind: HangUp, Where: OnConnections, About: "closes the connection in place of the answer, or with truncated after it"},
	{Kind: Reset, Where: OnConnections, About: "breaks the connection off in place of the answer, or with truncated after it"},
	{Kind: OneClient, Where: OnConnections, About: "closes every further connection while there is one"},
	{Kind: Restart, Argument: "D", Default: "5s", once: true, About: "breaks off all connections and is away for D; once, unless every or chance is given"},
}

func infoOf(k Kind) (KindInfo, bool) {
	i := slices.IndexFunc(kinds, func(info KindInfo) bool { return info.Kind == k })
	if i < 0 {
		return KindInfo{}, false
	}
	return kinds[i], true
}

// Misbehaviour is one thing that a unit does wrong, and to which of the requests
// that it gets.
type Misbehaviour struct {
	Kind   Kind
	Time   time.Duration // of a kind that takes D
	Number int           // of a kind that takes N
	Span   Span          // of a kind that takes A-B

	// Every makes it only each n-th request; 0 means all, or once for a kind that
	// is shown once.
	Every int
	// Chance makes it only some of them, with this probability; 0 means all.
	Chance float64
	// After is when it begins, since it was set; For is how long it goes on, 0 for
	// good.
	After, For time.Duration
}

// ParseMisbehaviours reads some that are combined, with semicolons between them:
//
//	late=2s,every=5; duplicate,chance=0.1,after=10s,for=1m
//
// "" is none. There are those that can be shown anywhere, and those of where. The
// error says what was expected.
func ParseMisbehaviours(text string, where ...Where) ([]Misbehaviour, error) {
	var list []Misbehaviour
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		m, err := parseMisbehaviour(part)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		if info, _ := infoOf(m.Kind); info.Where != Anywhere && !slices.Contains(where, info.Where) {
			return nil, fmt.Errorf("%s can be shown with %s only", m.Kind, info.Where)
		}
		if slices.ContainsFunc(list, func(other Misbehaviour) bool { return other.Kind == m.Kind && m.Kind != Holes }) {
			return nil, fmt.Errorf("%s is given more than once, expected it once", m.Kind)
		}
		list = append(list, m)
	}
	return list, nil
}

func parseMisbehaviour(text string) (Misbehaviour, error) {
	what, options, optional := strings.Cut(text, ",")
	name, argument, given := strings.Cut(what, "=")
	m := Misbehaviour{Kind: Kind(strings.TrimSpace(name))}
	info, known := infoOf(m.Kind)
	if !known {
		var names []string
		for _, k := range kinds {
			names = append(names, string(k.Kind))
		}
		if nearest := configfile.Nearest(string(m.Kind), names); nearest != "" {
			return m, fmt.Errorf("%q is no misbehaviour, did you mean %s?", m.Kind, nearest)
		}
		return m, fmt.Errorf("%q is no misbehaviour; there are %s", m.Kind, strings.Join(names, ", "))
	}
	switch {
	case given && info.Argument == "":
		return m, fmt.Errorf("%s takes no value", m.Kind)
	case !given:
		argument = info.Default
	}
	if err := m.take(info, strings.TrimSpace(argument)); err != nil {
		return m, err
	}
	if !optional {
		return m, nil
	}
	for option := range strings.SplitSeq(options, ",") {
		if err := m.option(strings.TrimSpace(option)); err != nil {
			return m, err
		}
	}
	if m.Every > 0 && m.Chance > 0 {
		return m, fmt.Errorf("every and chance are both given, expected one of them")
	}
	return m, nil
}

// longest bounds the times of misbehaviours.
const longest = 24 * time.Hour

func (m *Misbehaviour) take(info KindInfo, argument string) error {
	switch info.Argument {
	case "D":
		d, err := parseTime(argument)
		if err != nil || d == 0 {
			return fmt.Errorf("%s takes a time above 0 and up to %v, like %s=%s; got %q", m.Kind, longest, m.Kind, info.Default, argument)
		}
		m.Time = d
	case "N":
		n, err := strconv.ParseInt(argument, 0, 32)
		least, most := int64(1), int64(255)
		if m.Kind == WrongTransaction || m.Kind == WrongLength || m.Kind == WrongUnit {
			least = -255
		}
		if err != nil || n < least || n > most || n == 0 {
			return fmt.Errorf("%s takes a number from %d to %d, not 0, like %s=%s; got %q", m.Kind, least, most, m.Kind, info.Default, argument)
		}
		m.Number = int(n)
	case "A-B":
		s, err := ParseSpan(argument)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Kind, err)
		}
		m.Span = s
	}
	return nil
}

func (m *Misbehaviour) option(text string) (err error) {
	name, value, _ := strings.Cut(text, "=")
	switch name {
	case "every":
		m.Every, err = strconv.Atoi(value)
		if err != nil || m.Every < 1 || m.Every > 1_000_000 {
			return fmt.Errorf("every takes a number of requests from 1 to 1000000, got %q", value)
		}
	case "chance":
		m.Chance, err = strconv.ParseFloat(value, 64)
		if err != nil || !(m.Chance > 0 && m.Chance <= 1) {
			return fmt.Errorf("chance takes a probability above 0 and up to 1, got %q", value)
		}
	case "after":
		if m.After, err = parseTime(value); err != nil {
			return fmt.Errorf("after: %w", err)
		}
	case "for":
		if m.For, err = parseTime(value); err != nil || m.For == 0 {
			return fmt.Errorf("for takes a time above 0 and up to %v, got %q", longest, value)
		}
	default:
		return fmt.Errorf("%q is no option; there are every=N, chance=P, after=D and for=D", text)
	}
	return nil
}

func parseTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > longest {
		return 0, fmt.Errorf("%q is no time from 0s to %v, like 250ms", text, longest)
	}
	return d, nil
}

// ParseSpan reads one address, or the first and the last of some, like 20-21 or
// 0x1000-0x10FF.
func ParseSpan(text string) (Span, error) {
	first, last, two := strings.Cut(text, "-")
	if !two {
		last = first
	}
	a, err := strconv.ParseUint(strings.TrimSpace(first), 0, 16)
	b, err2 := strconv.ParseUint(strings.TrimSpace(last), 0, 16)
	if err != nil || err2 != nil || b < a {
		return Span{}, fmt.Errorf("%q are no addresses, expected two from 0 to 65535 like 20-21", text)
	}
	return Span{int(a), int(b)}, nil
}

func (s Span) String() string { return fmt.Sprintf("%d-%d", s.First, s.Last) }

// String is what ParseMisbehaviours reads.
func (m Misbehaviour) String() string {
	info, _ := infoOf(m.Kind)
	text := string(m.Kind)
	switch info.Argument {
	case "D":
		text += "=" + configfile.Duration(m.Time).String()
	case "N":
		text += fmt.Sprintf("=%d", m.Number)
	case "A-B":
		text += "=" + m.Span.String()
	}
	if m.Every > 0 {
		text += fmt.Sprintf(",every=%d", m.Every)
	}
	if m.Chance > 0 {
		text += fmt.Sprintf(",chance=%v", m.Chance)
	}
	if m.After > 0 {
		text += ",after=" + configfile.Duration(m.After).String()
	}
	if m.For > 0 {
		text += ",for=" + configfile.Duration(m.For).String()
	}
	return text
}
