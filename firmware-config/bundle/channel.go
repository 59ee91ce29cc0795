package bundle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"aead.dev/minisign"
)

// Channel says which version gateways are to have. It is a file of JSON, with its signature
// as minisign writes it in another one beside it: who serves it can leave it out, and so
// keep gateways as they are, and can't say anything else.
type Channel struct {
	Format int `json:"format"` // 1
	// Issued orders the channel's states: a gateway that has seen a later one refuses it.
	Issued   time.Time `json:"issued"`
	NotAfter time.Time `json:"not_after"` // when it can't be believed any more
	Version  string    `json:"version"`
	Epoch    uint64    `json:"epoch"`
	// Percent is how many of a hundred gateways install it, the same ones each time.
	Percent int `json:"percent"`
	// Window is when they may restart, as 02:00-04:00 in UTC; "": at any time.
	Window Window `json:"window,omitempty"`
	// Zones are those of which something else holds, by gateway.zone.
	Zones   map[string]Stage     `json:"zones,omitempty"`
	Bundles map[Target]Published `json:"bundles"`
}

// Stage is how far a version is rolled out.
type Stage struct {
	Percent int    `json:"percent"`
	Window  Window `json:"window,omitempty"`
}

func (s Stage) check() error {
	if s.Percent < 0 || s.Percent > 100 {
		return fmt.Errorf("percent %d: expected 0 to 100", s.Percent)
	}
	return s.Window.Check()
}

// In is what holds of a zone.
func (c Channel) In(zone string) Stage {
	if s, is := c.Zones[zone]; is {
		return s
	}
	return Stage{c.Percent, c.Window}
}

// Published is a bundle that can be fetched.
type Published struct {
	URL    string `json:"url"` // may be relative to the channel's
	Size   int64  `json:"size"`
	SHA256 Digest `json:"sha256"`
}

// MostChannel bounds a channel's file, in bytes.
const MostChannel = 64 << 10

// Sign is the channel's file and that of its signature.
func (c Channel) Sign(key minisign.PrivateKey) (text, signature []byte, err error) {
	c.Format = format
	if err := c.check(); err != nil {
		return nil, nil, err
	}
	if text, err = json.MarshalIndent(c, "", "  "); err != nil {
		return nil, nil, err
	}
	text = append(text, '\n')
	about := fmt.Sprintf("busbar %s, epoch %d, %d %%", c.Version, c.Epoch, c.Percent)
	return text, minisign.SignWithComments(key, text, about, "signature of a channel"), nil
}

// ParseChannel verifies and reads a channel's file.
func ParseChannel(text, signature []byte, keys Keys) (c Channel, err error) {
	if err := keys.verify(text, signature); err != nil {
		return c, err
	}
	return parseChannel(text)
}

func parseChannel(text []byte) (c Channel, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err = d.Decode(&c); err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more behind it")
		}
	}
	if err == nil {
		err = c.check()
	}
	return c, err
}

func (c Channel) check() error {
	switch {
	case c.Format != format:
		return fmt.Errorf("format %d: this program knows format %d", c.Format, format)
	case !IsVersion(c.Version):
		return fmt.Errorf("version %q: expected 1 to 64 letters, digits, or any of .+~-", c.Version)
	case c.Issued.IsZero() || !c.NotAfter.After(c.Issued):
		return errors.New("not_after: expected a time after issued")
	}
	if err := c.In("").check(); err != nil {
		return err
	}
	for zone, s := range c.Zones {
		if err := s.check(); zone == "" || err != nil {
			return fmt.Errorf("zone %q: %w", zone, cmp.Or(err, errors.New("it has no name")))
		}
	}
	for target, p := range c.Bundles {
		if u, err := url.Parse(p.URL); err != nil || p.URL == "" || u.IsAbs() && u.Scheme != "https" {
			return fmt.Errorf("bundle for %s: %q, expected https://host/path, or a path", target, p.URL)
		}
		if p.Size <= 0 || p.Size > mostSize {
			return fmt.Errorf("bundle for %s: %d bytes", target, p.Size)
		}
	}
	return nil
}

// Place is where a gateway stands in the order in which a version is rolled out: it installs
// it if its place is below the channel's percentage.
func Place(gateway, version string) int {
	sum := sha256.Sum256([]byte(gateway + "\n" + version))
	return int(binary.BigEndian.Uint64(sum[:]) % 100)
}

// Window is a part of each day, as 02:00-04:00 in UTC, which may go over midnight; "" is the
// whole day.
type Window string

// Check says what is wrong with it.
func (w Window) Check() error {
	_, _, err := w.parse()
	return err
}

func (w Window) parse() (from, to time.Duration, err error) {
	if w == "" {
		return 0, 24 * time.Hour, nil
	}
	var h1, m1, h2, m2 int
	n, err := fmt.Sscanf(string(w)+" ", "%02d:%02d-%02d:%02d ", &h1, &m1, &h2, &m2)
	from, to = time.Duration(h1)*time.Hour+time.Duration(m1)*time.Minute, time.Duration(h2)*time.Hour+time.Duration(m2)*time.Minute
	if err != nil || n != 4 || len(w) != len("02:00-04:00") || h1 < 0 || h2 < 0 || m1 < 0 || m2 < 0 || m1 > 59 || m2 > 59 || h1 > 23 || to > 24*time.Hour || from == to {
		return 0, 0, fmt.Errorf("window %q: expected a part of the day in UTC, as 02:00-04:00", string(w))
	}
	return from, to, nil
}

// Holds reports whether a moment is in the window.
func (w Window) Holds(t time.Time) bool {
	from, to, err := w.parse()
	if err != nil {
		return false
	}
	t = t.UTC()
	at := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second
	if from < to {
		return at >= from && at < to
	}
	return at >= from || at < to
}
