package cloud

import (
	"context"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/outage/etr"
	"github.com/busbar/busbar/cloud/outage/history"
	"github.com/busbar/busbar/cloud/public"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// Public is the page on which anybody can see where supply is out, and what goes with it:
// docs/public-page.md.
type Public struct {
	// The directory that its files are written to, for a web server. The console's address
	// serves it as well, at /public/. Example: public.
	Dir configfile.Path `yaml:"dir,required"`

	// The file of what has been told before, which isn't for the public. Default: public.told.
	Told configfile.Path `yaml:"told"`

	// How often they are written, from 1s to 1h. Default: 30s.
	Every configfile.Duration `yaml:"every"`

	// How old what is known may be and still be shown as current, from 1m to 1h. Default: 5m.
	Stale configfile.Duration `yaml:"stale"`

	// The languages of the page and of alerts, of de, en and nl. The page is found in the
	// first one, and leads to the others. Default: [en]. Example: [de, en].
	Languages []string `yaml:"languages"`

	// What the page is called, in every language. Default: Electricity supply, and what
	// that is in each language.
	Title string `yaml:"title"`

	// Who runs the network. Example: Rhine Grid.
	Operator string `yaml:"operator,required"`

	// A line for the page's end, such as where people call. Default: none.
	// Example: "Report an outage: 0800 000 000".
	Contact string `yaml:"contact"`

	// Where the directory is found, for alerts to say. Default: they don't.
	// Example: https://grid.example/outages/.
	URL string `yaml:"url"`

	// Who sends alerts, without spaces, commas, < and &. Example: outages@grid.example.
	Sender string `yaml:"sender,required"`

	// The time zone of times where the reader's isn't known. Default: UTC.
	// Example: Europe/Berlin.
	TimeZone string `yaml:"time_zone"`
}

// SetDefaults is called before the section is read.
func (p *Public) SetDefaults() {
	p.Told, p.Every, p.Stale = "public.told", configfile.Duration(30*time.Second), configfile.Duration(5*time.Minute)
	p.Languages, p.TimeZone = []string{"en"}, "UTC"
}

func (p Public) check(f *configfile.File) {
	for _, d := range []struct {
		key         string
		value       configfile.Duration
		least, most time.Duration
		text        string
	}{{"every", p.Every, time.Second, time.Hour, "1s to 1h"}, {"stale", p.Stale, time.Minute, time.Hour, "1m to 1h"}} {
		if v := time.Duration(d.value); v < d.least || v > d.most {
			f.Errorf("public."+d.key, "%s is out of range, expected %s", d.value, d.text)
		}
	}
	for key, text := range map[string]string{"dir": string(p.Dir), "told": string(p.Told), "operator": p.Operator, "sender": p.Sender, "title": p.Title} {
		if text == "" && f.Has("public."+key) {
			f.Errorf("public."+key, "is empty")
		}
	}
	if len(p.Languages) == 0 {
		f.Errorf("public.languages", "is empty, expected some of %s", strings.Join(public.Languages(), ", "))
	}
	for i, language := range p.Languages {
		at := configfile.Item("public.languages", i)
		switch {
		case !slices.Contains(public.Languages(), language):
			f.Errorf(at, "%q, expected one of %s", language, strings.Join(public.Languages(), ", "))
		case slices.Contains(p.Languages[:i], language):
			f.Errorf(at, "%s is there before", language)
		}
	}
	if strings.ContainsAny(p.Sender, " ,<&\t\r\n") {
		f.Errorf("public.sender", "%q, expected a name without spaces, commas, < and & such as outages@grid.example", p.Sender)
	}
	if u, err := url.Parse(p.URL); p.URL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || !strings.HasSuffix(u.Path, "/") || u.RawQuery != "" || u.Fragment != "") {
		f.Errorf("public.url", "%q, expected the URL of a directory, which ends with /, such as https://grid.example/outages/", p.URL)
	}
	if _, err := time.LoadLocation(p.TimeZone); err != nil || p.TimeZone == "Local" || p.TimeZone == "" {
		f.Errorf("public.time_zone", "%q, expected a name such as Europe/Berlin", p.TimeZone)
	}
	dir := f.Dir()
	if p.Dir != "" && p.Told != "" {
		if in, err := filepath.Rel(p.Dir.In(dir), p.Told.In(dir)); err == nil && in != ".." && !strings.HasPrefix(in, ".."+string(filepath.Separator)) {
			f.Errorf("public.told", "%s is in the directory that the public sees", p.Told)
		}
	}
}

// publisher makes what writes the page.
func (c *Cloud) publisher(p Public) *public.Publisher {
	location, err := time.LoadLocation(p.TimeZone)
	if err != nil {
		location = time.UTC // check has refused it
	}
	return &public.Publisher{
		Dir: p.Dir.In(c.options.Dir), Ledger: p.Told.In(c.options.Dir), Log: c.log,
		Picture: func(ctx context.Context) (public.Picture, error) {
			at := c.through(alarm.Consumer, c.alarms.Stats().Through)
			if at.IsZero() {
				return history.Picture(ctx, c.store, 0)
			}
			return history.Picture(ctx, c.store, telemetry.MicrosOf(at))
		},
		Options: func() public.Options {
			return public.Options{Languages: p.Languages, Title: p.Title, Operator: p.Operator, Contact: p.Contact, URL: p.URL, Sender: p.Sender, Location: location, Stale: time.Duration(p.Stale)}
		},
	}
}

// estimateEvery is how often it is estimated anew when outages are over.
const estimateEvery = time.Minute

// estimate says of open outages when they are over, until ctx ends.
func (c *Cloud) estimate(ctx context.Context) {
	ticker := time.NewTicker(estimateEvery)
	defer ticker.Stop()
	failed := false
	for {
		_, err := history.Estimate(ctx, c.store, etr.DefaultPrior, telemetry.MicrosOf(time.Now()))
		if err != nil && ctx.Err() == nil && !failed {
			c.log.Error("it can't be estimated when outages are over, trying again", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
