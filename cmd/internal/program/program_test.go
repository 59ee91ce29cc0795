package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/busbar/busbar/configfile"
)

func TestExitCodes(t *testing.T) {
	_, unreadable := configfile.Read("none.yaml")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("broken"), 1},
		{Silent(7), 7},
		{configfile.Errors{{File: "a.yaml", Line: 1, Column: 1, Message: "wrong"}}, 2},
		{fmt.Errorf("gateway: %w", unreadable), 2},
		{Usage{errors.New("no such device")}, 2},
		{os.ErrNotExist, 1},
		{context.Canceled, 1},
	} {
		if got := Report(Info{Name: "test"}, c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

func TestUntilStopped(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	broken := errors.New("broken")
	for _, c := range []struct {
		ctx       context.Context
		err, want error
	}{
		{t.Context(), nil, nil},
		{stopped, nil, nil},
		{stopped, fmt.Errorf("read: %w", context.Canceled), nil},
		{t.Context(), context.Canceled, context.Canceled},
		{stopped, broken, broken},
	} {
		if got := UntilStopped(c.ctx, c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
