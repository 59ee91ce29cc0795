package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/busbar/busbar/cloud"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

type retakeRecords struct {
	database
	Gateway string        `arg:"" help:"The gateway's id."`
	Reason  []string      `help:"Only what was set aside for this; may be given several times. Default: whatever it was." placeholder:"REASON"`
	DryRun  bool          `help:"Count, and change nothing."`
	Timeout time.Duration `help:"How long to wait for the cloud that runs, from 1s to 24h." default:"5m" placeholder:"DURATION"`
}

func (retakeRecords) Help() string {
	return `What stands in the quarantine in a gateway's name, or signed by one of its keys, is read again from the log and judged anew, by
the cloud that runs. What was received meanwhile isn't stored twice. After enrol and readmit this happens by itself.
The exit code is 0 if everything has been judged.

Example:
  busbar-cloud gateway retake --config cloud.yaml north-gw1 --dry-run`
}

func (r retakeRecords) Run(ctx context.Context) error {
	if r.Timeout < time.Second || r.Timeout > 24*time.Hour {
		return program.Usage{Err: fmt.Errorf("--timeout %s is out of range, expected 1s to 24h", r.Timeout)}
	}
	which := store.SetAside{Gateway: r.Gateway}
	for _, reason := range r.Reason {
		which.Reasons = append(which.Reasons, store.Reason(reason))
	}
	config, err := cloud.LoadConfig(r.Config)
	if err != nil {
		return err
	}
	return r.use(ctx, func(s *store.Store) error {
		if r.DryRun {
			return r.count(ctx, s, config, which)
		}
		before, err := s.CountAside(ctx, store.SetAside{Gateway: r.Gateway}, nowhere)
		if err != nil {
			return err
		}
		asked, err := s.AskAside(ctx, which)
		if err != nil {
			return err
		}
		if asked == 0 {
			fmt.Printf("nothing of %s stands in the quarantine for that\n", r.Gateway)
			return nil
		}
		return r.await(ctx, s, asked, before)
	})
}

func nowhere(string, int32) int64 { return 0 }

// count prints what there is, and how much of it the log still has.
func (r retakeRecords) count(ctx context.Context, s *store.Store, config cloud.Config, which store.SetAside) error {
	picker, err := cloud.OpenPicker(config, filepath.Dir(r.Config))
	if err != nil {
		return err
	}
	defer picker.Close()
	begins := map[string]int64{}
	var failed error
	list, err := s.CountAside(ctx, which, func(topic string, partition int32) int64 {
		place := fmt.Sprintf("%s/%d", topic, partition)
		begin, known := begins[place]
		if !known && failed == nil {
			begin, _, failed = picker.Begin(ctx, topic, "", partition)
			begins[place] = begin
		}
		return begin
	})
	if err := cmp.Or(err, failed); err != nil {
		return err
	}
	type line struct {
		reason store.Reason
		key    record.KeyID
		valid  bool
		state  store.QuarantineState
	}
	sums := map[line]*store.AsideCount{}
	var order []line
	for _, c := range list {
		at := line{c.Reason, c.KeyID, c.Valid, c.State}
		if sums[at] == nil {
			sums[at] = &store.AsideCount{First: c.First}
			order = append(order, at)
		}
		sum := sums[at]
		sum.Records += c.Records
		sum.Before += c.Before
		sum.First, sum.Last = min(sum.First, c.First), max(sum.Last, c.Last)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REASON\tKEY ID\tVALID\tSTATE\tRECORDS\tFROM\tTO\tNO LONGER IN THE LOG")
	for _, at := range order {
		key, valid := "", ""
		if at.key != (record.KeyID{}) {
			key, valid = at.key.String(), map[bool]string{true: "yes", false: "no"}[at.valid]
		}
		sum := sums[at]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%d\n", at.reason, key, valid, at.state, sum.Records, minute(sum.First), minute(sum.Last), sum.Before)
	}
	return w.Flush()
}

// outcome is what became of records, and when those were set aside that the log
// doesn't have any more.
type outcome struct {
	taken, gone, waiting int64
	from, to             telemetry.Micros
}

func outcomeOf(list []store.AsideCount) (o outcome) {
	for _, c := range list {
		switch c.State {
		case store.Taken:
			o.taken += c.Records
		case store.Asked:
			o.waiting += c.Records
		case store.Gone:
			o.gone += c.Records
			if o.from == 0 || c.First < o.from {
				o.from = c.First
			}
			o.to = max(o.to, c.Last)
		}
	}
	return o
}

func (r retakeRecords) await(ctx context.Context, s *store.Store, asked int64, before []store.AsideCount) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	was := outcomeOf(before)
	for {
		list, err := s.CountAside(ctx, store.SetAside{Gateway: r.Gateway}, nowhere)
		if err != nil {
			return err
		}
		now := outcomeOf(list)
		taken, gone := now.taken-was.taken, now.gone-was.gone
		if now.waiting == 0 {
			fmt.Printf("%d records of %s: %d taken, %d set aside again, %d no longer in the log\n", asked, r.Gateway, taken, asked-taken-gone, gone)
			if gone > 0 {
				fmt.Printf("those that the log has lost were set aside from %s to %s\n", minute(now.from), minute(now.to))
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d records of %s wait after %s: does a cloud run on this database, and reach its log?", now.waiting, asked, r.Gateway, r.Timeout)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

type readmitKey struct {
	database
	Gateway string `arg:"" help:"The gateway's id."`
	KeyID   string `arg:"" help:"The key's id, as list shows it."`
	Reason  string `help:"Why, for those who ask later." required:"" placeholder:"TEXT"`
	By      string `help:"Who readmits it." default:"${user}" placeholder:"NAME"`
}

func (readmitKey) Help() string {
	return `For a revocation that was a mistake. Everything that the key has signed is taken from then on; what was refused meanwhile is taken
again by itself, as far as the log still has it.

Example:
  busbar-cloud gateway readmit --config cloud.yaml north-gw1 21fe31dfa154a261 --reason "another device was stolen"`
}

func (r readmitKey) Run(ctx context.Context) error {
	id, err := record.ParseKeyID(r.KeyID)
	if err != nil {
		return program.Usage{Err: err}
	}
	return r.use(ctx, func(s *store.Store) error {
		if err := s.ReadmitKey(ctx, r.Gateway, id, r.By, r.Reason, telemetry.MicrosOf(time.Now())); err != nil {
			return err
		}
		fmt.Printf("key %s of %s is valid again\n", id, r.Gateway)
		return tellWaiting(ctx, s, r.Gateway, id)
	})
}

// tellWaiting prints how many refused records a key that has become valid has signed.
func tellWaiting(ctx context.Context, s *store.Store, gateway string, id record.KeyID) error {
	list, err := s.CountAside(ctx, store.SetAside{Gateway: gateway, Reasons: []store.Reason{store.UnknownKey, store.RevokedKey}}, nowhere)
	if err != nil {
		return err
	}
	var n int64
	for _, c := range list {
		if c.KeyID == id && c.State == store.Keyless {
			n += c.Records
		}
	}
	if n > 0 {
		fmt.Printf("%d records that it has signed were refused; the cloud that runs takes them again\n", n)
	}
	return nil
}
