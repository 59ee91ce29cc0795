package public

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/test/browser"
)

// texts are all that a language says, by where it says it.
func texts(v reflect.Value, at string, into map[string]string) {
	switch v.Kind() {
	case reflect.String:
		into[at] = v.String()
	case reflect.Struct:
		for i := range v.NumField() {
			texts(v.Field(i), at+"."+v.Type().Field(i).Name, into)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			texts(v.MapIndex(key), fmt.Sprintf("%s[%s]", at, key), into)
		}
	}
}

// TestWordsAreComplete finds what a language doesn't say, or says without what is put in.
func TestWordsAreComplete(t *testing.T) {
	names := func(text string) string {
		found := regexp.MustCompile(`\{\w+\}|href="[^"]+"`).FindAllString(text, -1)
		slices.Sort(found)
		return strings.Join(found, " ")
	}
	want := map[string]string{}
	texts(reflect.ValueOf(english), "", want)
	if len(want) < 70 {
		t.Fatalf("only %d texts", len(want))
	}
	for _, tag := range Languages() {
		got := map[string]string{}
		texts(reflect.ValueOf(*known[tag]), "", got)
		for at, source := range want {
			if got[at] == "" || names(got[at]) != names(source) {
				t.Errorf("%s%s is %q, expected the words for %q", tag, at, got[at], source)
			}
		}
		if len(got) != len(want) || known[tag].Tag != tag {
			t.Errorf("%s: %d texts, expected %d", known[tag].Tag, len(got), len(want))
		}
	}
}

// What is said of small counts is as little in each language.
func TestSmallCountsArentToldInAnyLanguage(t *testing.T) {
	a := area(t, view(t, storm()), "mill")
	for tag, want := range map[string]string{
		"de": "1.234 Anschlussnutzer, und an 2 Stellen jeweils weniger als 10 Anschlussnutzer",
		"nl": "1.234 klanten, en minder dan 10 klanten op elk van 2 plaatsen",
	} {
		if got := known[tag].sum(a); got != want {
			t.Errorf("%s: %s, want %s", tag, got, want)
		}
	}
}

func TestWordsOfOneAndMore(t *testing.T) {
	for n, want := range map[int64]string{1: "1 Minute her", 5: "5 Minuten her"} {
		if got := german.OldAfter.of(n); !strings.Contains(got, want) {
			t.Errorf("%d: %s", n, got)
		}
	}
}

// TestThePageInOtherLanguages follows the links from English, on a phone and wide.
func TestThePageInOtherLanguages(t *testing.T) {
	s := serve(t)
	s.show(storm(), 3*time.Minute)
	b := browser.New(t)
	for _, tt := range []struct {
		tag, theme string
		width      int64
		says       []string
	}{
		{"de", "dark", 390, []string{"Stromversorgung", "Das war vor 3 Minuten.", "Valley\t? Nicht bekannt", "1.234 Anschlussnutzer", "vor Ort", "Baum oder Ast", "wird ermittelt", "Zahlen unter 10 werden nicht gezeigt"}},
		{"nl", "light", 1280, []string{"Elektriciteitsvoorziening", "Dat is 3 minuten geleden.", "Valley\t? Niet bekend", "1.234 klanten", "ter plaatse", "Boom of tak", "wordt nagegaan", "Aantallen onder 10 worden niet getoond"}},
	} {
		b.Do(chromedp.EmulateViewport(tt.width, 844), prefer(tt.theme), chromedp.Navigate(s.url), chromedp.Click(chromedp.CSS("nav a[lang="+tt.tag+"]")))
		b.Await(30*time.Second, fmt.Sprintf(`document.documentElement?.lang === %q && /3 min/i.test(document.getElementById("old")?.textContent)`, tt.tag))
		text := browser.Get[string](b, `document.body.innerText`)
		for _, says := range tt.says {
			if !strings.Contains(text, says) {
				t.Errorf("%s doesn't say %q:\n%s", tt.tag, says, text)
			}
		}
		for _, is := range []string{"customers", "Outage", "known", "ago"} {
			if strings.Contains(text, is) {
				t.Errorf("%s says %q:\n%s", tt.tag, is, text)
			}
		}
		check(b, fmt.Sprintf("public-%s-%s-%d", tt.tag, tt.theme, tt.width))
	}
	for _, m := range b.Messages() {
		t.Errorf("browser log: %s", m)
	}
}

// A language that isn't published any more leaves no page behind.
func TestAPageOfAnotherLanguageGoes(t *testing.T) {
	s := serve(t)
	o := options(t)
	s.Options = func() Options { return o }
	for _, tt := range []struct {
		languages []string
		title     string
		pages     string
	}{
		{[]string{"en", "de", "nl"}, "Electricity supply", "index.de.html index.html index.nl.html"},
		{[]string{"nl", "en"}, "Elektriciteitsvoorziening", "index.en.html index.html"},
		{nil, "Electricity supply", "index.html"},
	} {
		o.Languages, o.Title = tt.languages, ""
		s.show(storm(), 0)
		found, err := filepath.Glob(filepath.Join(s.Dir, "*.html"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			found[i] = filepath.Base(found[i])
		}
		first, err := os.ReadFile(filepath.Join(s.Dir, "index.html"))
		if pages := strings.Join(found, " "); err != nil || pages != tt.pages || !strings.Contains(string(first), "<h1>"+tt.title+"</h1>") {
			t.Errorf("%v: %v, %s, want %s, the first one being called %s", tt.languages, err, pages, tt.pages, tt.title)
		}
	}
}
