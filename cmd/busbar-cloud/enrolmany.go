package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// many enrols what is in a file. Nothing is enrolled if a line is wrong; a key
// that can't be keeps no other one out.
func (e enrolKey) many(ctx context.Context) error {
	text, err := os.ReadFile(e.Keys)
	if err != nil {
		return program.Usage{Err: err}
	}
	var keys []store.GatewayKey
	now := telemetry.MicrosOf(time.Now())
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 2 || !gatewayName.MatchString(words[0]) {
			return program.Usage{Err: fmt.Errorf("%s:%d: expected a gateway's id and its public key", e.Keys, n)}
		}
		public, err := record.ParsePublicKey([]byte(words[1]))
		if err != nil {
			return program.Usage{Err: fmt.Errorf("%s:%d: %w", e.Keys, n, err)}
		}
		keys = append(keys, store.GatewayKey{Gateway: words[0], PublicKey: public, AddedAt: now, AddedBy: e.By})
	}
	return e.use(ctx, func(s *store.Store) error {
		var failed error
		enrolled := 0
		for _, k := range keys {
			added, err := s.EnrolKey(ctx, k)
			if failed = errors.Join(failed, err); ctx.Err() != nil {
				break
			}
			if added {
				enrolled++
			}
		}
		fmt.Printf("%d of %d keys are enrolled now\n", enrolled, len(keys))
		return failed
	})
}
