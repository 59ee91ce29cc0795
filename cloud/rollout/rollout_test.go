package rollout

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/busbar/busbar/cloud/store"
)

func TestAVersionIsPausedWhenTooManyGoBackFromIt(t *testing.T) {
	var counted store.Rollout
	var failing error
	h := Handler(Options{
		Files: fstest.MapFS{
			"stable.json": {Data: []byte(`{"version":"2.0"}`)}, "stable.json.minisig": {Data: []byte("signature")}, "2.bundle": {Data: []byte("0123456789")},
			"broken.json": {Data: []byte("{")}, "secret.key": {Data: []byte("key")},
		},
		MostRolledBack: 2, Log: slog.New(slog.DiscardHandler),
		Count: func(_ context.Context, version string) (store.Rollout, error) {
			if version != "2.0" {
				t.Errorf("version %q is counted", version)
			}
			return counted, failing
		},
	})
	get := func(file, span string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, "/updates/"+file, nil)
		if span != "" {
			r.Header.Set("Range", span)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	check := func(file, span string, code int, says string) {
		t.Helper()
		if got, body := get(file, span); got != code || !strings.Contains(body, says) {
			t.Errorf("%s: %d %s", file, got, body)
		}
	}
	counted = store.Rollout{Confirmed: 40, RolledBack: 1}
	check("stable.json", "", 200, `{"version":"2.0"}`)
	check("stable.json.minisig", "", 200, "signature")
	check("2.bundle", "bytes=4-", 206, "456789")
	check("none.json", "", 404, "")
	check("broken.json", "", 503, "can't be read")
	check("secret.key", "", 404, "")
	check("..%2fstable.json", "", 400, "")
	counted.RolledBack = 2
	check("stable.json", "", 409, "version 2.0 is paused: 2 gateways went back from it, 40 have kept it")
	check("stable.json.minisig", "", 409, "paused")
	check("2.bundle", "", 200, "0123456789") // who began may end
	failing = errors.New("no database")
	check("stable.json", "", 503, "can't be read")
}
