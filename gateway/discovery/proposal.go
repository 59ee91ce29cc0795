package discovery

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/busbar/busbar/adapters/modbus"
)

// Proposal is the devices: of a configuration, in YAML, for what was found. What it
// isn't sure of stands in comments, and so does what it has no profile for. taken
// are ids that other devices have.
func Proposal(found []Endpoint, taken []string, now time.Time) string {
	p := proposal{taken: slices.Clone(taken), several: len(found) > 1}
	p.comment("Proposed by busbar device scan at %s.", now.UTC().Format("2006-01-02 15:04 UTC"))
	for _, e := range found {
		p.endpoint(e)
	}
	head := ""
	if p.devices > 0 {
		head = "devices:\n"
	}
	return p.notes.String() + head + p.body.String()
}

// proposal is a file of devices as it grows.
type proposal struct {
	taken       []string // ids
	several     bool     // endpoints
	notes, body strings.Builder
	devices     int
}

// comment adds a line above the devices. What devices say about themselves must not
// be read as YAML.
func (p *proposal) comment(format string, args ...any) {
	fmt.Fprintf(&p.notes, "# %s\n", modbus.Printable([]byte(fmt.Sprintf(format, args...))))
}

func (p *proposal) endpoint(e Endpoint) {
	where := e.Endpoint
	if e.Through != "" {
		where += ", through gateway " + e.Through
	}
	p.comment("%s: %s", where, e.summary())
	if e.Error != "" {
		p.comment("It was ended early: %s.", e.Error)
	}
	for i, u := range e.Unclear {
		if i == fewUnclear && len(e.Unclear) > fewUnclear+1 {
			p.comment("Nor did %d more.", len(e.Unclear)-i)
			break
		}
		p.comment("Unit %d gave no answer, but something was wrong: %s.", u.Unit, u.Error)
	}
	for _, u := range e.Units {
		p.unit(e, u)
	}
	p.same(e)
}

// same says which units are another one under their numbers.
func (p *proposal) same(e Endpoint) {
	var numbers []string
	var as uint8
	for _, u := range e.Units {
		if u.Same != nil {
			as = *u.Same
			numbers = append(numbers, strconv.Itoa(int(u.Unit)))
		}
	}
	if len(numbers) > 0 {
		p.comment("Unit %d%s also answers as %s.", as, p.at(e), strings.Join(numbers, ", "))
	}
}

// at is where a unit is, if that isn't clear.
func (p *proposal) at(e Endpoint) string {
	if p.several {
		return " at " + e.Endpoint
	}
	return ""
}

// fewUnclear is how many units are named one by one that gave no clear answer.
const fewUnclear = 3

// summary is how many units answered of how many.
func (e Endpoint) summary() string {
	var of string
	switch {
	case e.Asked < e.Of:
		of = fmt.Sprintf("%d of %d units asked, then it was ended", e.Asked, e.Of)
	case e.Of == 1:
		of = "1 unit asked"
	default:
		of = fmt.Sprintf("%d units asked", e.Of)
	}
	text := fmt.Sprintf("%s, %d answered", of, len(e.Units))
	if e.AsOne {
		text += ", those that are one device under several numbers included"
	}
	if e.NoUnits > 0 {
		text += fmt.Sprintf("; for %d a gateway said that it reaches none", e.NoUnits)
	}
	return text + "."
}

func (p *proposal) unit(e Endpoint, u Unit) {
	if u.Same != nil {
		return
	}
	title := fmt.Sprintf("Unit %d%s", u.Unit, p.at(e))
	if u.Device != "" {
		p.comment("%s is device %s already.", title, u.Device)
		return
	}
	lines := []string{title + u.description()}
	if u.SunSpec != nil {
		lines = append(lines, u.SunSpec.description()+u.SunSpec.unknown(u.Candidates))
	}
	best := u.likely()
	if len(best) == 0 {
		p.comment("%s", lines[0])
		for _, l := range append(lines[1:], u.unfit()...) {
			p.comment("  %s", l)
		}
		return
	}
	for i, c := range best {
		if i > 0 {
			lines = nil
		}
		lines = append(lines, fmt.Sprintf("%s fits with %d of 100: %s.", c.Profile, c.Score, strings.Join(c.Reasons, "; ")))
		if c.Score < certain {
			lines = append(lines, "That is a guess: compare its values with the meter's own display before you rely on it.")
		}
		for _, other := range u.others(best) {
			lines = append(lines, fmt.Sprintf("It might also be %s, with %d of 100: %s.", other.Profile, other.Score, strings.Join(other.Reasons, "; ")))
		}
		p.device(e, u, c, lines, len(best) > 1)
	}
}

// certain is the score from which nobody is asked to check it.
const certain = 90

func (p *proposal) device(e Endpoint, u Unit, c Candidate, comments []string, several bool) {
	for _, l := range comments {
		fmt.Fprintf(&p.body, "  # %s\n", modbus.Printable([]byte(l)))
	}
	fmt.Fprintf(&p.body, "  - id: %s\n", p.id(e.Endpoint, u, c, several))
	fmt.Fprintf(&p.body, "    modbus: {endpoint: %s, unit: %d", strconv.Quote(e.Endpoint), u.Unit)
	if c.Base > 0 {
		fmt.Fprintf(&p.body, ", base: %d", c.Base)
	}
	fmt.Fprintf(&p.body, "}\n    profile: %s\n", c.Profile)
	p.devices++
}

// description is what a unit says that it is.
func (u Unit) description() string {
	var words []string
	for _, w := range []string{u.Vendor, u.Model, u.Revision} {
		if w != "" && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	if u.Serial != "" {
		words = append(words, "serial number "+u.Serial)
	}
	switch {
	case len(words) > 0:
		return ": " + strings.Join(words, ", ") + "."
	case len(u.Says) > 0:
		return ": " + strings.Join(u.Says, ", ") + "."
	}
	return ": it doesn't say what it is."
}

func (s *SunSpec) description() string {
	var ids []string
	for _, m := range s.Models {
		ids = append(ids, fmt.Sprintf("%d at %d", m.ID, m.Base))
	}
	text := "It has the SunSpec models " + enough(ids) + "."
	if len(ids) == 0 {
		text = "It has SunSpec's mark, and no models."
	}
	if s.Incomplete != "" {
		text += " There may be more: " + s.Incomplete + "."
	}
	return text
}

// unknown names the models that no profile is for.
func (s *SunSpec) unknown(candidates []Candidate) string {
	var ids []string
	for _, m := range s.Models {
		if m.ID != common && !slices.ContainsFunc(candidates, func(c Candidate) bool { return c.Base == m.Base }) {
			ids = append(ids, strconv.Itoa(int(m.ID)))
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return " No profile comes with Busbar for " + enough(ids) + "."
}

// enough is a list in words, cut where nobody reads on.
func enough(list []string) string {
	const most = 24
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

// likely are the candidates to propose: the best one, or of a SunSpec device all
// models that fit.
func (u Unit) likely() (best []Candidate) {
	for _, c := range u.Candidates {
		if c.Score >= Likely && (len(best) == 0 || strings.HasPrefix(c.Profile, sunSpecProfiles)) {
			best = append(best, c)
		}
	}
	return best
}

// others are the candidates that aren't proposed.
func (u Unit) others(best []Candidate) []Candidate {
	return slices.DeleteFunc(slices.Clone(u.Candidates), func(c Candidate) bool {
		return slices.ContainsFunc(best, func(b Candidate) bool { return b.Profile == c.Profile && b.Base == c.Base })
	})
}

// unfit says why nothing is proposed.
func (u Unit) unfit() []string {
	lines := []string{"None of the profiles that come with Busbar fits. busbar profile show prints one to begin a new one with."}
	for _, c := range u.Candidates {
		lines = append(lines, fmt.Sprintf("Least unlikely is %s, with %d of 100: %s.", c.Profile, c.Score, strings.Join(c.Reasons, "; ")))
		break
	}
	return lines
}

// maxID is how long a device's id may be.
const maxID = 63

// id is a new one for a device: its model and serial number, or its unit.
func (p *proposal) id(endpoint string, u Unit, c Candidate, several bool) string {
	model := slug(u.Model)
	if model == "" {
		model = c.Profile[strings.LastIndexByte(c.Profile, '/')+1:]
		if strings.HasPrefix(c.Profile, sunSpecProfiles) {
			model = "sunspec"
		}
	}
	own := slug(u.Serial)
	if own == "" {
		own = "unit-" + strconv.Itoa(int(u.Unit))
		if p.several {
			own = slug(strings.TrimPrefix(endpoint, "tcp://")) + "-" + own
		}
	}
	suffix := ""
	if several {
		suffix = "-" + c.Profile[len(sunSpecProfiles):]
	}
	for n := 1; ; n++ {
		last := suffix
		if n > 1 {
			last += "-" + strconv.Itoa(n)
		}
		id := strings.Trim(cut(cut(model, 30)+"-"+own, maxID-len(last)), "-") + last
		if !slices.Contains(p.taken, id) {
			p.taken = append(p.taken, id)
			return id
		}
	}
}

func cut(s string, length int) string { return strings.TrimRight(s[:min(len(s), length)], "-") }

// slug is a text in the characters that an id may have.
func slug(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		if r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}
