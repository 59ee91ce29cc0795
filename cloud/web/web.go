// Package web serves the operator's console: one page with its script, styles
// and icon, built from src by the bundle program and embedded.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:generate go run ./bundle .

//go:embed dist
var dist embed.FS

// csp lets the page load from its own origin only and run no inline script or
// style.
const csp = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"

// licenses has the licence texts of what is bundled; its name has no hash.
const licenses = "/assets/licenses.txt"

var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

type file struct {
	plain, gzip []byte
	etag        string
	contentType string
}

var files = sync.OnceValue(func() map[string]file {
	all := map[string]file{}
	err := fs.WalkDir(dist, "dist", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := w.Write(body); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		all[strings.TrimPrefix(name, "dist")] = file{
			plain:       body,
			gzip:        packed.Bytes(),
			etag:        hex.EncodeToString(sum[:8]),
			contentType: contentTypes[path.Ext(name)],
		}
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("web: reading the embedded console: %v", err))
	}
	return all
})

// Handler serves the console's page at its client routes (/, /alarms/{id},
// /signals, /completeness, /alarm-performance, /overview, /gateways, /gateways/{id}, /desk,
// /network/{id} and /feeders/{id}) and its files under /assets/. Anything else is 404, any method but
// GET and HEAD 405. Files under /assets/ have their hash in their name and may
// be cached for ever; the page is revalidated by ETag on every load. The
// handler is safe for concurrent use.
func Handler() http.Handler {
	files()
	mux := http.NewServeMux()
	for _, route := range []string{"/{$}", "/alarms/{id}", "/signals", "/completeness", "/alarm-performance", "/overview", "/gateways", "/gateways/{id}", "/desk", "/network/{id}", "/feeders/{id}"} {
		mux.HandleFunc("GET "+route, func(w http.ResponseWriter, r *http.Request) {
			serve(w, r, files()["/index.html"], "no-cache")
		})
	}
	mux.HandleFunc("GET /assets/", func(w http.ResponseWriter, r *http.Request) {
		f, found := files()[r.URL.Path]
		if !found {
			http.NotFound(w, r)
			return
		}
		cache := "public, max-age=31536000, immutable"
		if r.URL.Path == licenses {
			cache = "no-cache"
		}
		serve(w, r, f, cache)
	})
	return mux
}

func serve(w http.ResponseWriter, r *http.Request, f file, cache string) {
	body, etag := f.plain, f.etag
	h := w.Header()
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body, etag = f.gzip, f.etag+"-gzip"
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Cache-Control", cache)
	h.Set("Content-Security-Policy", csp)
	h.Set("Content-Type", f.contentType)
	h.Set("ETag", `"`+etag+`"`)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// acceptsGzip reads an Accept-Encoding header (RFC 9110 section 12.5.3).
func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if strings.TrimSpace(name) == "gzip" {
			return strings.Trim(strings.TrimSpace(weight), "q=0.") != "" || weight == ""
		}
	}
	return false
}
