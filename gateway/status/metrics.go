package status

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/busbar/busbar/telemetry"
)

// collector turns one report into metrics, so that all of a scrape is of the
// same moment.
type collector struct{ source Source }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("busbar_gateway_"+name, help, labels, nil)
}

var (
	descSamples    = describe("samples_total", "Samples read since the start.", "validity")
	descDiscarded  = describe("samples_discarded_total", "Samples given up before they were committed, because the disk didn't keep up.")
	descAlarms     = describe("alarms_total", "Alarms raised and cleared since the start.", "change")
	descWaiting    = describe("buffer_waiting_records", "Records on disk that the log hasn't acknowledged.", "stream")
	descBytes      = describe("buffer_bytes", "Bytes of the stream's files on disk.", "stream")
	descCommitted  = describe("committed_total", "Samples or events committed to disk in this epoch.", "stream")
	descSent       = describe("sent_records_total", "Records that the log has acknowledged.", "stream")
	descSentBytes  = describe("sent_bytes_total", "Bytes of the acknowledged records' payloads.", "stream")
	descLinked     = describe("linked", "1 while the log acknowledges in time.", "stream")
	descPolls      = describe("device_polls_total", "Polls of the device by result; late slots that were skipped count as missed.", "device", "result")
	descLastAnswer = describe("device_last_answer_timestamp_seconds", "When the device last answered; absent before the first answer.", "device")
	descClock      = describe("clock_state", "1 for the state that the clock is in.", "state")
	descSteps      = describe("clock_steps_total", "Times that the wall clock was set since the start.")
	descMaxError   = describe("clock_max_error_seconds", "The kernel's bound of the wall clock's error; absent while the kernel says that it isn't synchronised.")
	descHolding    = describe("clock_holding", "1 while samples wait in the buffer for the time to be known.")
	descProblems   = describe("problems", "Conditions that keep /healthz from being ok.")
)

// Describe sends nothing: an unchecked collector, its series come with its devices.
func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	r := c.source.Report()
	counter(descSamples, r.Good, "good")
	counter(descSamples, r.Bad, "bad")
	counter(descDiscarded, r.Discarded)
	counter(descAlarms, r.AlarmsRaised, "raised")
	counter(descAlarms, r.AlarmsEnd, "cleared")
	for _, s := range r.Streams {
		gauge(descWaiting, float64(s.Waiting), s.Name)
		gauge(descBytes, float64(s.Bytes), s.Name)
		counter(descCommitted, s.Committed, s.Name)
		counter(descSent, s.Sent, s.Name)
		counter(descSentBytes, s.SentBytes, s.Name)
		gauge(descLinked, number(s.Linked), s.Name)
	}
	for _, d := range r.Devices {
		counter(descPolls, d.Polls-d.Failed, d.ID, "answered")
		counter(descPolls, d.Failed, d.ID, "failed")
		counter(descPolls, d.Missed, d.ID, "missed")
		if !d.LastAnswer.IsZero() {
			gauge(descLastAnswer, float64(d.LastAnswer.UnixMilli())/1000, d.ID)
		}
	}
	for _, state := range []telemetry.ClockState{telemetry.ClockUnset, telemetry.ClockFreeRunning, telemetry.ClockSynchronised} {
		gauge(descClock, number(r.Clock.State == state), string(state))
	}
	counter(descSteps, r.Clock.Steps)
	if r.Clock.MaxError > 0 {
		gauge(descMaxError, r.Clock.MaxError.Seconds())
	}
	gauge(descHolding, number(r.Clock.Holding))
	gauge(descProblems, float64(len(r.Problems)))
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
