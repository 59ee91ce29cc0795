package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/client"
)

// story tells what happens and keeps what the summary needs.
type story struct {
	options Options
	setup   setup
	cloud   client.Client
	began   time.Time

	mu           sync.Mutex
	alarms       map[string]client.Alarm
	raised       int
	cleared      int
	acknowledged int
	latencies    []time.Duration // from the gateway's decision to the arrival at a subscriber
}

func newStory(o Options, s setup) *story {
	return &story{
		options: o, setup: s, began: time.Now(),
		cloud:  client.New("http://" + o.Console),
		alarms: map[string]client.Alarm{},
	}
}

func (s *story) say(format string, args ...any) {
	since := time.Since(s.began)
	fmt.Fprintf(s.options.Out, "%02d:%02d  %s\n", int(since.Minutes()), int(since.Seconds())%60, fmt.Sprintf(format, args...))
}

const startTime = 30 * time.Second

// awaitConsole returns when the console answers and shows the first samples.
func (s *story) awaitConsole(ctx context.Context, running *processes) error {
	bounded, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		if l, err := s.cloud.Ledger(bounded); err == nil && l.Stored > 0 {
			s.say("the meters are read; their first samples are stored")
			return nil
		}
		select {
		case p := <-running.refused:
			return p.refusal()
		case <-bounded.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("no sample reached the cloud within %v%s", startTime, running.failures())
		case <-ticker.C:
		}
	}
}

// watchAlarms follows the console's stream as a browser would.
func (s *story) watchAlarms(ctx context.Context) {
	s.cloud.Follow(ctx, func(a client.Alarm) {
		received := time.Now()
		s.mu.Lock()
		before, known := s.alarms[a.ID]
		s.alarms[a.ID] = a
		latency := received.Sub(time.UnixMicro(a.Decided))
		changed := !known || before.Active != a.Active
		if changed {
			if a.Active {
				s.raised++
				s.latencies = append(s.latencies, latency)
			} else {
				s.cleared++
			}
		}
		acknowledged := a.Acknowledged && (!known || !before.Acknowledged)
		if acknowledged {
			s.acknowledged++
		}
		told := a.SuppressedBy == "" && a.Active && (changed || before.SuppressedBy != "")
		s.mu.Unlock()

		switch {
		case told:
			s.say("ALARM    %-8s %s (on screen after %v)", a.Priority, a.Summary, latency.Round(time.Millisecond))
			if s.options.Headless {
				go s.acknowledge(ctx, a)
			}
		case a.SuppressedBy != "": // another one stands for it
		case changed:
			s.say("cleared  %-8s %s", a.Priority, a.Summary)
		case acknowledged:
			s.say("acknowledged by %s: %s", a.AcknowledgedBy, a.Summary)
		}
	})
}

func (s *story) acknowledge(ctx context.Context, a client.Alarm) {
	if err := s.cloud.Acknowledge(ctx, a.ID, "demo operator", "acknowledged by the demo"); err != nil && ctx.Err() == nil {
		s.say("the alarm could not be acknowledged: %v", err)
	}
}

// watchFaults tells what happens in the simulated grid.
func (s *story) watchFaults(ctx context.Context) {
	f, err := os.Open(filepath.Join(s.setup.Dir, "truth.jsonl"))
	if err != nil {
		s.say("no truth log: %v", err)
		return
	}
	defer f.Close()
	var taken int64
	lines := bufio.NewReader(f)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	var line []byte
	for {
		part, err := lines.ReadBytes('\n')
		line = append(line, part...)
		taken += int64(len(part))
		if err == nil {
			s.tellFault(line)
			line = line[:0]
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// A simulator that was started again begins anew.
		if info, err := f.Stat(); err == nil && info.Size() < taken {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				s.say("the truth log can't be read any more: %v", err)
				return
			}
			lines.Reset(f)
			line, taken = nil, 0
		}
	}
}

func (s *story) tellFault(line []byte) {
	var truth struct {
		What   string   `json:"what"`
		Fault  string   `json:"fault"`
		Asset  string   `json:"asset"`
		Device string   `json:"device"`
		Points []string `json:"points"`
	}
	if json.Unmarshal(line, &truth) != nil {
		return
	}
	switch truth.What {
	case "fault-begin":
		s.say("in the field: %s fails", truth.Asset)
	case "repaired":
		s.say("in the field: %s is repaired", truth.Asset)
	case "outage":
		s.say("in the field: %s opens; %d service points are without supply", truth.Device, len(truth.Points))
	case "restored":
		s.say("in the field: %d service points have supply again", len(truth.Points))
	}
}
