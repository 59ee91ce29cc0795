package demo

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/busbar/busbar/cloud/client"
)

// Summary is how the story came out.
type Summary struct {
	SamplesRead       int64 `json:"samples_read"`       // committed by the gateway
	SamplesStored     int64 `json:"samples_stored"`     // in the cloud's store
	SamplesLost       int64 `json:"samples_lost"`       // committed and not in the store
	SamplesDuplicated int64 `json:"samples_duplicated"` // in the store more than once
	DuplicatesOnWire  int64 `json:"duplicates_on_wire"` // sent again and filtered out

	AlarmsRaised       int     `json:"alarms_raised"`
	AlarmsCleared      int     `json:"alarms_cleared"`
	AlarmsAcknowledged int     `json:"alarms_acknowledged"`
	AlarmLatencyP50    float64 `json:"alarm_latency_ms_p50"` // from the gateway's decision to a subscriber's screen
	AlarmLatencyP99    float64 `json:"alarm_latency_ms_p99"`

	Outages []Outage `json:"outages"`

	Restarts int      `json:"restarts"`
	Seconds  float64  `json:"seconds"`
	Problems []string `json:"problems"` // why the story didn't come out as it should
}

// Outage is one that the cloud has concluded.
type Outage struct {
	Device    string `json:"device"` // that has opened
	Customers int64  `json:"customers"`
	State     string `json:"state"`
	Alarms    int64  `json:"alarms"` // for which its own alarm stands
}

// catchUpTime is how long the cloud may take to store what a stopped gateway
// has sent.
const catchUpTime = 20 * time.Second

// gatewayTime is how long a gateway that was killed may take to be there again.
const gatewayTime = 10 * time.Second

// finish stops the gateway, waits for the cloud to have stored everything, and
// counts. told says that the story was not broken off.
func (s *story) finish(running *processes, told bool) Summary {
	answered := s.awaitGateway()
	stopped := running.gateway.stop()
	l, err := s.settle()
	outages, outagesErr := s.outages()
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := Summary{
		SamplesRead: l.Expected, SamplesStored: l.Stored,
		SamplesLost:       max(0, l.Expected-l.Received),
		SamplesDuplicated: max(0, l.Stored-l.Received),
		DuplicatesOnWire:  l.Duplicates,
		AlarmsRaised:      s.raised, AlarmsCleared: s.cleared, AlarmsAcknowledged: s.acknowledged,
		AlarmLatencyP50: quantile(s.latencies, 0.50),
		AlarmLatencyP99: quantile(s.latencies, 0.99),
		Outages:         outages,
		Restarts:        running.restarts(),
		Seconds:         time.Since(s.began).Round(100 * time.Millisecond).Seconds(),
		Problems:        []string{},
	}
	if !answered {
		sum.fail("the gateway did not answer within %v", gatewayTime)
	}
	if !stopped {
		sum.fail("the gateway did not stop by itself")
	}
	if err != nil {
		sum.fail("the ledger could not be read: %v", err)
	} else if !l.Complete {
		sum.fail("the cloud did not receive everything within %v", catchUpTime)
	}
	if sum.SamplesLost > 0 || sum.SamplesDuplicated > 0 {
		sum.fail("%d samples were lost and %d duplicated", sum.SamplesLost, sum.SamplesDuplicated)
	} else if sum.SamplesRead == 0 || sum.SamplesStored != sum.SamplesRead {
		sum.fail("%d samples were read and %d stored", sum.SamplesRead, sum.SamplesStored)
	}
	switch {
	case told:
		s.judgeAlarms(&sum)
		if outagesErr != nil {
			sum.fail("the outages could not be read: %v", outagesErr)
		}
		sum.judgeOutages()
	case s.options.For > 0 || s.options.Headless:
		sum.fail("the story was broken off")
	}
	return sum
}

// awaitGateway returns when the gateway answers; false if it doesn't. One that has
// just been killed can't be stopped, and would never say what it had committed.
func (s *story) awaitGateway() bool {
	client := http.Client{Timeout: time.Second}
	for end := time.Now().Add(gatewayTime); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if response, err := client.Get("http://" + s.setup.Status + "/healthz"); err == nil {
			response.Body.Close()
			return true
		}
	}
	return false
}

// outages are all that the cloud has concluded.
func (s *story) outages() ([]Outage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpTime)
	defer cancel()
	list, err := s.cloud.Outages(ctx)
	outages := []Outage{}
	for _, o := range list {
		outages = append(outages, Outage{o.Device, o.Customers, o.State, o.Alarms})
	}
	return outages, err
}

// judgeOutages checks that the failure was one outage, of the device that opened, and is
// over.
func (s *Summary) judgeOutages() {
	if len(s.Outages) != 1 {
		s.fail("%d outages were found, 1 was expected", len(s.Outages))
		return
	}
	if o := s.Outages[0]; o.Device != breaker {
		s.fail("the outage is one of %s, %s was expected", o.Device, breaker)
	} else if o.State != "restored" && o.State != "verified" && o.State != "completed" {
		s.fail("the outage is still %s", o.State)
	}
}

// judgeAlarms checks that the feeder's failure was seen as what it was: transformers
// without voltage, silent meters suspected, one alarm that stands for them, and an end
// to all.
func (s *story) judgeAlarms(sum *Summary) {
	seen := map[string]int{}
	for _, a := range s.alarms {
		seen[a.Rule]++
		if a.Active {
			sum.fail("an alarm is still active: %s", a.Summary)
		}
		if s.options.Headless && a.SuppressedBy == "" && !a.Acknowledged {
			sum.fail("an alarm was not acknowledged: %s", a.Summary)
		}
	}
	for rule, want := range map[string]int{"voltage-interruption": 1, "supply-suspect": 2, "outage": 1} {
		if seen[rule] < want {
			sum.fail("%d alarms of %s were raised, at least %d were expected", seen[rule], rule, want)
		}
	}
	if sum.AlarmsCleared != sum.AlarmsRaised {
		sum.fail("%d alarms were raised and %d cleared", sum.AlarmsRaised, sum.AlarmsCleared)
	}
}

// settle waits until the store holds what the gateway says it has committed.
func (s *story) settle() (l client.Ledger, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpTime)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		latest, askErr := s.cloud.Ledger(ctx)
		if askErr == nil {
			l, err = latest, nil
			if l.Complete {
				return l, nil
			}
		} else if ctx.Err() == nil {
			err = askErr
		}
		select {
		case <-ctx.Done():
			return l, err
		case <-ticker.C:
		}
	}
}

func (s *Summary) fail(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

// quantile is in milliseconds, by nearest rank, for q above 0; 0 of nothing.
func quantile(of []time.Duration, q float64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return float64(sorted[rank].Microseconds()) / 1000
}
