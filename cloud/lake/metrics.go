package lake

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("busbar_lake_"+name, help, labels, nil)
}

var (
	descInfo       = describe("info", "1; the label says which version runs.", "version")
	descRecords    = describe("records_total", "Telemetry records read from the log, whatever became of them.")
	descSamples    = describe("samples_total", "Samples committed.")
	descDuplicates = describe("duplicates_total", "Records that came again and were left out.")
	descOverlaps   = describe("overlaps_total", "Records written though some of their numbers had come; their rows are marked.")
	descNameless   = describe("nameless_total", "Records written without what their signal table says, as it hadn't come.")
	descParked     = describe("parked_records", "Records that wait for their signal table.")
	descRefused    = describe("refused_total", "Records that aren't taken, by reason.", "reason")
	descGaps       = describe("log_gaps_total", "Parts of the log that couldn't be read and aren't in the lake.")
	descCommits    = describe("commits_total", "Snapshots committed.")
	descCommitTime = describe("commit_seconds_total", "Time spent in commits.")
	descFiles      = describe("files_total", "Parquet files committed.")
	descBytes      = describe("bytes_total", "Bytes in them.")
	descLag        = describe("lag_records", "Records in the log that haven't been read.")
	descWaiting    = describe("waiting_samples", "Samples that wait for the next commit.")
	descVersion    = describe("table_version", "The table's version.")
	descCommitted  = describe("committed_timestamp_seconds", "When the table's newest snapshot was made; absent before there is one.")
)

func (l *Lake) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{l}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

type collector struct{ lake *Lake }

// Describe sends nothing: an unchecked collector, as some may be missing.
func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s := c.lake.runner.Stats()
	gauge(descInfo, 1, c.lake.options.Version)
	counter(descRecords, float64(s.Records))
	counter(descSamples, float64(s.Samples))
	counter(descDuplicates, float64(s.Duplicates))
	counter(descOverlaps, float64(s.Overlaps))
	counter(descNameless, float64(s.Nameless))
	gauge(descParked, float64(s.Parked))
	for reason, n := range s.Refused {
		counter(descRefused, float64(n), reason)
	}
	counter(descGaps, float64(s.Gaps))
	counter(descCommits, float64(s.Commits))
	counter(descCommitTime, s.CommitTime.Seconds())
	counter(descFiles, float64(s.Files))
	counter(descBytes, float64(s.Bytes))
	gauge(descLag, float64(s.Lag))
	gauge(descWaiting, float64(s.Waiting))
	gauge(descVersion, float64(s.Version))
	if !s.Committed.IsZero() {
		gauge(descCommitted, float64(s.Committed.UnixMilli())/1000)
	}
}
