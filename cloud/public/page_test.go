package public

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/browser"
	"github.com/busbar/busbar/test/peer"
)

// served is a directory that is written and served.
type served struct {
	Publisher
	t       *testing.T
	picture Picture
	url     string
}

func serve(t *testing.T) *served {
	t.Helper()
	s := &served{t: t}
	dir := t.TempDir()
	s.Publisher = Publisher{Dir: filepath.Join(dir, "files"), Ledger: filepath.Join(dir, "told.json"), Log: slog.New(slog.DiscardHandler),
		Picture: func(context.Context) (Picture, error) { return s.picture, nil }, Options: func() Options { return options(t) }}
	mux := http.NewServeMux()
	mux.Handle("GET /public/", Handler("/public/", s.Dir))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL + "/public/"
	return s
}

// show writes a picture that is as old as age now, with all its times moved along.
func (s *served) show(p Picture, age time.Duration) {
	s.t.Helper()
	now := telemetry.MicrosOf(time.Now())
	by := now - noon
	for i := range p.Outages {
		o := &p.Outages[i]
		for _, at := range []*telemetry.Micros{&o.Since, &o.Until, &o.P50, &o.P80} {
			if *at != 0 {
				*at += by
			}
		}
	}
	p.At = now - telemetry.Micros(age.Microseconds())
	s.picture = p
	if err := s.Write(s.t.Context(), now); err != nil {
		s.t.Fatal(err)
	}
}

// TestThePage looks at it in both themes, wide and on a phone.
func TestThePage(t *testing.T) {
	s := serve(t)
	b := browser.New(t)
	quiet := storm()
	quiet.Outages = quiet.Outages[4:]
	quiet.Areas[2].Known, quiet.Areas[5].Known = true, true
	screens := []struct {
		name string
		p    func() Picture
		age  time.Duration
		says []string
	}{
		{"storm", storm, 30 * time.Second, []string{"1,234 customers, and fewer than 10 customers in each of 2 places", "Valley\t? Not known", "being assessed", "on site", "less than a minute ago"}},
		{"quiet", func() Picture { return quiet }, 3 * time.Minute, []string{"No outage is known.", "Planned work", "3 minutes ago"}},
		{"old", storm, 3 * time.Hour, []string{"That is 3 hours ago: this isn’t current."}},
	}
	for _, screen := range screens {
		s.show(screen.p(), screen.age)
		for _, theme := range []string{"light", "dark"} {
			for _, width := range []int64{1280, 390} {
				if width > 390 && screen.name != "storm" {
					continue // it has less than the storm's
				}
				name := fmt.Sprintf("public-%s-%s-%d", screen.name, theme, width)
				b.Do(chromedp.EmulateViewport(width, 844), prefer(theme), chromedp.Navigate(s.url))
				b.Await(4*time.Second, `document.getElementById("old").textContent.includes("ago")`)
				text := browser.Get[string](b, `document.body.innerText`)
				for _, says := range screen.says {
					if !strings.Contains(text, says) {
						t.Errorf("%s doesn't say %q:\n%s", name, says, text)
					}
				}
				if screen.name == "old" && strings.Contains(text, "No outage") {
					t.Errorf("%s: what is old is shown as current:\n%s", name, text)
				}
				check(b, name)
			}
		}
	}
	for _, m := range b.Messages() {
		t.Errorf("browser log: %s", m)
	}
}

// Times are those of whoever looks, or of the operator where no script runs.
func TestTimesAreThoseOfTheReader(t *testing.T) {
	s := serve(t)
	p := storm()
	s.show(p, time.Minute)
	b := browser.New(t)
	since := p.Outages[0].Since.Time()
	zone := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Tokyo"})
		return err
	})
	b.Do(zone, chromedp.Navigate(s.url))
	tokyo := since.In(time.FixedZone("", 9*3600)).Format("15:04") + " GMT+9"
	b.Await(4*time.Second, fmt.Sprintf(`[...document.querySelectorAll("dd time")].some(t => t.textContent.includes(%q))`, tokyo))
	script := func(off bool) chromedp.Action[chromedp.Void] {
		return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
			return err
		})
	}
	b.Do(script(true), chromedp.Navigate(s.url))
	text, err := chromedp.Run(b.Ctx, chromedp.Text(chromedp.CSS("main")))
	if err != nil {
		t.Fatal(err)
	}
	here := english.clock(since, options(t).Location)
	for _, says := range []string{here, "If that is more than 5 minutes ago, what follows isn’t current.", "1,234 customers"} {
		if !strings.Contains(text, says) {
			t.Errorf("without a script the page doesn't say %q:\n%s", says, text)
		}
	}
}

// check runs axe-core over what is shown, and looks for sideways scrolling. With
// BUSBAR_SHOTS=DIR it leaves a picture there.
func check(b *browser.Tab, name string) {
	b.T.Helper()
	axe, err := os.ReadFile(filepath.Join(peer.Root(), "cloud/web/testdata/axe/axe.min.js"))
	if err != nil {
		b.T.Fatal(err)
	}
	if over := browser.Get[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		b.T.Errorf("%s: %d px wider than the screen", name, over)
	}
	b.Do(chromedp.Evaluate[chromedp.Void](string(axe)))
	for _, v := range browser.Get[[]string](b, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}).then(r =>
		r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.html.slice(0, 200) + " " + n.failureSummary).join("\n")))`) {
		b.T.Errorf("%s: %s", name, v)
	}
	dir := os.Getenv("BUSBAR_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.Ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		b.T.Fatal(err)
	}
}

func prefer(theme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
		})
		return err
	})
}

// Of the directory, nothing is served that isn't published.
func TestOnlyWhatIsPublishedIsServed(t *testing.T) {
	s := serve(t)
	s.show(storm(), time.Minute)
	for _, name := range []string{"secret", "cap/secret.xml", "cap/notes"} {
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(s.Dir, "cap"))
	if err != nil {
		t.Fatal(err)
	}
	handler := Handler("/public/", s.Dir)
	for path, want := range map[string]string{"": "text/html; charset=utf-8", "index.html": "text/html; charset=utf-8", "index.de.html": "text/html; charset=utf-8", "page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8",
		"outages.json": "application/json", "feed.atom": "application/atom+xml; charset=utf-8", "cap/" + entries[0].Name(): "application/cap+xml; charset=utf-8",
		"secret": "", "index.fr.html": "", "index..html": "", "cap/secret.xml": "", "cap/notes": "", "cap/": "", "cap": "", "../told.json": "", "cap/../../told.json": "", "cap/0123456789abcdef-1.xml": "", "\x00": ""} {
		r := httptest.NewRequest("GET", "/public/", nil)
		r.URL.Path += path
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		got := w.Header().Get("Content-Type")
		if want == "" && w.Code != http.StatusNotFound || want != "" && (w.Code != http.StatusOK || got != want || w.Header().Get("Content-Security-Policy") == "") {
			t.Errorf("%q: %d %s, want %q", path, w.Code, got, want)
		}
	}
}
