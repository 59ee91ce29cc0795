package cloud

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/compact"
	"github.com/busbar/busbar/cloud/ingest"
	"github.com/busbar/busbar/cloud/outbox"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("busbar_cloud_"+name, help, labels, nil)
}

var (
	descInfo = describe("info", "1; the label says which version runs.", "version")

	descParts     = describe("work_parts", "Parts of the work that this process does, of those that the processes divide among them.", "work")
	descProcesses = describe("work_processes", "Processes that divide the work among them, this one included; absent while that isn't known.", "work")

	descRecords     = describe("ingest_records_total", "Telemetry records read from the log, whatever became of them.")
	descSamples     = describe("ingest_samples_total", "Samples stored.")
	descDuplicates  = describe("ingest_duplicates_total", "Records that came again and were filtered out.")
	descParked      = describe("ingest_parked_total", "Records that had to wait for their signal table.")
	descQuarantined = describe("ingest_quarantined_total", "Records that were set aside, by reason.", "reason")
	descRetaken     = describe("ingest_retaken_total", "Records that stood in the quarantine and were read again: taken, or gone from the log.", "result")
	descMerged      = describe("ingest_merged_total", "Records that overlapped with what was received before, such as thinned ones.")
	descFlushes     = describe("ingest_flushes_total", "Transactions of samples.")
	descFlushTime   = describe("ingest_flush_seconds_total", "Time spent in them.")
	descThrough     = describe("ingest_through_timestamp_seconds", "Up to when all current telemetry in the log is stored; absent before that is known.")
	descLag         = describe("ingest_lag_records", "Records in the log that haven't been read, of current telemetry and of backfill.", "topic")

	descPartitionRecords = describe("ingest_partition_records_total", "Records read from a partition and committed, whatever became of them.", "topic", "partition")
	descPartitionBytes   = describe("ingest_partition_bytes_total", "Bytes of their values.", "topic", "partition")
	descPartitionLag     = describe("ingest_partition_lag_records", "Records in a partition that haven't been read; absent for one that another process reads.", "topic", "partition")

	descPackBacklog = describe("pack_backlog_hours", "Hours of devices that the pass under way has yet to pack and sum up.")
	descPacked      = describe("packed_hours_total", "Hours of devices that were packed and summed up, each time.")
	descPackFailed  = describe("pack_failures_total", "Hours of devices that couldn't be packed, each time.")
	descPackChunks  = describe("packed_chunks_total", "Rows of samples that were packed.")
	descPackSamples = describe("packed_samples_total", "Samples of the hours that were packed.")
	descPackRows    = describe("rollup_rows_total", "Rows written that sum samples up.")
	descPackSwept   = describe("packed_chunks_deleted_total", "Rows of samples deleted after they were packed.")
	descPackBusy    = describe("pack_seconds_total", "Time spent on packing, summing up and deleting.")
	descPackLongest = describe("pack_longest_transaction_seconds", "The longest of its transactions, which others wait for.")
	descPackThrough = describe("pack_through_timestamp_seconds", "Up to when all that had come is summed up; absent before that is known.")
	descExpired     = describe("expired_rows_total", "Rows deleted that had been kept for long enough, by level.", "level")

	descMeasurements    = describe("measurements_total", "Samples written as measurements.")
	descMeasuredThrough = describe("measurements_through_timestamp_seconds", "When no stored sample waited last to be written as a measurement; at first the start.")

	descEvidence        = describe("evidence_total", "Pieces of evidence of outages written for others.")
	descEvidenceThrough = describe("evidence_through_timestamp_seconds", "When no piece of evidence waited last to be written; at first the start.")

	descAlarmEvents      = describe("alarm_events_total", "Events read from the log, whatever became of them.")
	descAlarmDuplicates  = describe("alarm_duplicates_total", "Events that came again and were filtered out.")
	descAlarmQuarantined = describe("alarm_quarantined_total", "Events that were set aside, by reason.", "reason")
	descAlarmRetaken     = describe("alarm_retaken_total", "Events that stood in the quarantine and were read again: taken, or gone from the log.", "result")
	descAlarmLag         = describe("alarm_lag_records", "Events in the log that haven't been read.")
	descAlarmThrough     = describe("alarm_through_timestamp_seconds", "Up to when all events in the log have been taken; absent before that is known.")
	descAlarmsOpen       = describe("alarms_open", "Alarms that are active or not acknowledged, by priority.", "priority", "state")

	descImportRows = describe("import_rows_total", "Rows of head-ends that were taken, and what became of them: new, known, corrected, older than what is known, or set aside.", "result")
	descImportLag  = describe("import_lag_records", "Records of head-ends in the log that haven't been taken.")

	descCommands = describe("commands_total", "Commands to gateways that are on record: sent, and what became of them: done, refused, or expired without an answer.", "state")

	descNotified      = describe("notify_delivered_total", "Changes of alarms that a target has taken, and alerts, each time that an Alertmanager has.", "target", "kind")
	descNotifyFailed  = describe("notify_failures_total", "Deliveries that failed and are tried again.", "target", "kind")
	descNotifyRefused = describe("notify_refused_total", "What a target has refused for good.", "target", "kind")
	descNotifyFailing = describe("notify_failing_seconds", "For how long nothing could be delivered to a target, which is how long the first that waits has waited; 0: it can.", "target", "kind")

	descWritten      = describe("remote_write_samples_total", "Samples that a server has taken by remote write.", "url")
	descWriteDropped = describe("remote_write_dropped_total", "Samples that weren't sent, as too many waited or the server refused them.", "url")
	descWriteFailed  = describe("remote_write_failures_total", "Requests that failed and are made again.", "url")
	descWriteWaiting = describe("remote_write_waiting_samples", "Samples that wait to be sent.", "url")

	descProvided          = describe("oidc_sign_ins_total", "Those who came back from the OpenID Connect provider: signed in, refused, or unreachable, as the provider didn't answer.", "result")
	descProviderReachable = describe("oidc_reachable", "1: the OpenID Connect provider answered when it was asked last; 0: it didn't.")

	descUplinkRecords = describe("uplink_records_total", "Records that gateways sent by the uplink and the log has acknowledged.")
	descUplinkBytes   = describe("uplink_bytes_total", "Bytes of the uplink's requests that were let in.")
	descUplinkRefused = describe("uplink_refusals_total", "Requests to the uplink that were refused, or asked to wait.", "answer")
)

func (c *Cloud) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{c}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// lane is a topic's name without the prefix, which is the same for all.
func lane(topic string) string { return topic[strings.LastIndexByte(topic, '.')+1:] }

type collector struct{ cloud *Cloud }

// Describe sends nothing: an unchecked collector, what the store is asked for may be missing.
func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	moment := func(d *prometheus.Desc, at time.Time) {
		if !at.IsZero() {
			gauge(d, float64(at.UnixMilli())/1000)
		}
	}
	gauge(descInfo, 1, c.cloud.options.Version)
	for target, division := range c.cloud.sharing {
		if state := division.State(); c.cloud.runs(target) && state.Members > 0 {
			gauge(descParts, float64(len(state.Share.Parts)), string(target))
			gauge(descProcesses, float64(state.Members), string(target))
		}
	}
	s := c.cloud.ingest.Stats()
	counter(descRecords, float64(s.Records))
	counter(descSamples, float64(s.Samples))
	counter(descDuplicates, float64(s.Duplicates))
	counter(descParked, float64(s.Parked))
	counter(descFlushes, float64(s.Flushes))
	counter(descFlushTime, s.FlushTime.Seconds())
	counter(descRetaken, float64(s.Retaken), "taken")
	counter(descRetaken, float64(s.Gone), "gone")
	counter(descMerged, float64(s.Merged))
	for _, reason := range store.Reasons { // also those that haven't occurred: that the first one comes is to be seen
		counter(descQuarantined, float64(s.Quarantined[reason]), string(reason))
	}
	gauge(descLag, float64(s.Lag), "telemetry")
	gauge(descLag, float64(s.Backlog), "backfill")
	moment(descThrough, c.cloud.through(ingest.Consumer, s.Through))
	for at, taken := range s.Partitions {
		topic, number := lane(at.Topic), strconv.Itoa(int(at.Number))
		counter(descPartitionRecords, float64(taken.Records), topic, number)
		counter(descPartitionBytes, float64(taken.Bytes), topic, number)
	}
	for at, lag := range s.Lags {
		gauge(descPartitionLag, float64(lag), lane(at.Topic), strconv.Itoa(int(at.Number)))
	}

	p := c.cloud.compact.Stats()
	gauge(descPackBacklog, float64(p.Backlog))
	counter(descPacked, float64(p.Packed))
	counter(descPackFailed, float64(p.Failed))
	counter(descPackChunks, float64(p.Chunks))
	counter(descPackSamples, float64(p.Samples))
	counter(descPackRows, float64(p.Rows))
	counter(descPackSwept, float64(p.Swept))
	counter(descPackBusy, p.Busy.Seconds())
	gauge(descPackLongest, p.Longest.Seconds())
	moment(descPackThrough, c.cloud.through(compact.Consumer, p.Through))
	for level, n := range p.Deleted {
		counter(descExpired, float64(n), level)
	}

	written := func(total, through *prometheus.Desc, s outbox.Stats) {
		counter(total, float64(s.Records))
		if c.cloud.publishing.Load() {
			moment(through, s.Through)
		}
	}
	if m := c.cloud.measured; m != nil {
		written(descMeasurements, descMeasuredThrough, m.Stats())
	}
	if e := c.cloud.evidence; e != nil {
		written(descEvidence, descEvidenceThrough, e.Stats())
	}

	a := c.cloud.alarms.Stats()
	counter(descAlarmEvents, float64(a.Events))
	counter(descAlarmDuplicates, float64(a.Duplicates))
	counter(descAlarmRetaken, float64(a.Retaken), "taken")
	counter(descAlarmRetaken, float64(a.Gone), "gone")
	for _, reason := range store.Reasons {
		counter(descAlarmQuarantined, float64(a.Quarantined[reason]), string(reason))
	}
	gauge(descAlarmLag, float64(a.Lag))
	moment(descAlarmThrough, c.cloud.through(alarm.Consumer, a.Through))

	if i := c.cloud.imports; i != nil {
		s := i.Stats()
		counter(descImportRows, float64(s.Fresh), "new")
		counter(descImportRows, float64(s.Same), "known")
		counter(descImportRows, float64(s.Corrected), "corrected")
		counter(descImportRows, float64(s.Older), "older")
		counter(descImportRows, float64(s.Aside), "aside")
		gauge(descImportLag, float64(s.Lag))
	}

	asking, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if n, err := c.cloud.store.CountCommands(asking, telemetry.MicrosOf(time.Now())); err == nil {
		counter(descCommands, float64(n.Sent), "sent")
		counter(descCommands, float64(n.Done), "done")
		counter(descCommands, float64(n.Refused), "refused")
		counter(descCommands, float64(n.Expired), "expired")
	}
	if open, err := alarm.CountOpen(asking, c.cloud.store); err == nil {
		for _, n := range open {
			gauge(descAlarmsOpen, float64(n.Alarms), string(n.Priority), string(n.State))
		}
	}

	if c.cloud.notify != nil {
		for _, n := range c.cloud.notify.Stats() {
			counter(descNotified, float64(n.Delivered), n.Target, n.Kind)
			counter(descNotifyFailed, float64(n.Failed), n.Target, n.Kind)
			counter(descNotifyRefused, float64(n.Refused), n.Target, n.Kind)
			failing := 0.0
			if !n.Failing.IsZero() {
				failing = time.Since(n.Failing).Seconds()
			}
			gauge(descNotifyFailing, failing, n.Target, n.Kind)
		}
	}

	for _, w := range c.cloud.writers {
		s := w.Stats()
		counter(descWritten, float64(s.Sent), s.URL)
		counter(descWriteDropped, float64(s.Dropped), s.URL)
		counter(descWriteFailed, float64(s.Failed), s.URL)
		gauge(descWriteWaiting, float64(s.Pending), s.URL)
	}

	if a := c.cloud.console.access; a != nil && a.Provider() != nil {
		n := a.Provided()
		counter(descProvided, float64(n.SignedIn), "signed-in")
		counter(descProvided, float64(n.Refused), "refused")
		counter(descProvided, float64(n.Unreachable), "unreachable")
		reachable := 0.0
		if a.Provider().Reachable() {
			reachable = 1
		}
		gauge(descProviderReachable, reachable)
	}

	if c.cloud.uplink != nil {
		u := c.cloud.uplink.Stats()
		counter(descUplinkRecords, float64(u.Records))
		counter(descUplinkBytes, float64(u.Bytes))
		counter(descUplinkRefused, float64(u.Refused), "refused")
		counter(descUplinkRefused, float64(u.Throttled), "throttled")
	}
}
