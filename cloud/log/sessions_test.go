package log

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
)

func TestSessionsLogEachCauseOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		causes := []string{"no broker", "no broker", "disk full", "no broker", "", "no broker"}
		n := 0
		Sessions(ctx, slog.New(slog.NewTextHandler(&out, nil)), func(_ context.Context, ok func()) error {
			if n == len(causes) {
				cancel()
				return ctx.Err()
			}
			n++
			if causes[n-1] == "" {
				ok()
				return errors.New("disk full")
			}
			return errors.New(causes[n-1])
		})
		got := map[string]int{}
		for _, what := range []string{"no broker", "disk full", "consuming again"} {
			got[what] = strings.Count(out.String(), what)
		}
		if got["no broker"] != 2 || got["disk full"] != 2 || got["consuming again"] != 1 {
			t.Errorf("%v in\n%s", got, out.String())
		}
	})
}
