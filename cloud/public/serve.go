package public

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/busbar/busbar/cloud/public/cap"
)

// alertFile are the names that alerts' files have.
var alertFile = regexp.MustCompile(`^[0-9a-f]{16}-[0-9]{1,9}\.xml$`)

// pageFile are the names that pages in further languages have.
var pageFile = regexp.MustCompile(`^index\.[a-zA-Z-]{2,16}\.html$`)

// last is which files come last, in order: each names those before it.
var last = []string{"page.css", "page.js", "feed.atom", "outages.json", "index.html"}

// inOrder are the names of files in the order in which they are written.
func inOrder(files map[string][]byte) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !slices.Contains(last, name) {
			names = append(names, name)
		}
	}
	for _, name := range last {
		if _, has := files[name]; has {
			names = append(names, name)
		}
	}
	return names
}

var mediaTypes = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".json": "application/json", ".atom": "application/atom+xml; charset=utf-8", ".xml": cap.MediaType + "; charset=utf-8"}

// csp is what the page may load, as it says itself.
const csp = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the files of a directory below prefix, which ends in /, and no others that
// are in it.
func Handler(prefix, dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, prefix)
		if name == "" {
			name = "index.html"
		}
		alert, isAlert := strings.CutPrefix(name, alertsDir)
		if !ok || !slices.Contains(last, name) && !pageFile.MatchString(name) && !(isAlert && alertFile.MatchString(alert)) {
			http.NotFound(w, r)
			return
		}
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", mediaTypes[path.Ext(name)])
		h.Set("Content-Security-Policy", csp)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size())) // Last-Modified doesn't tell two writings of one second apart
		h.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, "", info.ModTime(), f)
	})
}
