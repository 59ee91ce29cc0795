package status

import (
	"strconv"
	"time"

	"github.com/busbar/busbar/telemetry"
)

var (
	descInfo       = describe("info", "1; the labels say which gateway this is, and its version.", "gateway", "site", "version")
	descSamples    = describe("samples_total", "Samples read since the start.", "validity")
	descLeftOut    = describe("samples_left_out_total", "Samples that weren't stored, because a deadband or a swinging door left them out.")
	descDiscarded  = describe("samples_discarded_total", "Samples given up before they were committed, because the disk didn't keep up.")
	descAlarms     = describe("alarms_total", "Alarms raised and cleared since the start.", "change")
	descSuppressed = describe("alarms_suppressed_total", "Alarms that came and went unraised, because others suppressed them.")
	descUncaptured = describe("alarms_uncaptured_total", "Alarms raised without the samples that their rule asks for, because there were too many.")
	descWaiting    = describe("buffer_waiting_records", "Records on disk that the log hasn't acknowledged.", "stream")
	descBytes      = describe("buffer_bytes", "Bytes of the stream's files on disk.", "stream")
	descCommitted  = describe("committed_total", "Samples or events committed to disk in this epoch.", "stream")
	descSent       = describe("sent_records_total", "Records that the log has acknowledged.", "lane")
	descSentBytes  = describe("sent_bytes_total", "Bytes of the acknowledged records' payloads.", "lane")
	descLink       = describe("link_state", "1 for the state that the way to the log is in, 0 for the others.", "lane", "state")
	descLinkTime   = describe("link_seconds_total", "Time in each state since the start.", "lane", "state")
	descLinkChange = describe("link_changes_total", "Changes of the state since the start.", "lane")
	descPolls      = describe("device_polls_total", "Polls of the device by result; late slots that were skipped count as missed.", "device", "result")
	descLastAnswer = describe("device_last_answer_timestamp_seconds", "When the device last answered; absent before the first answer.", "device")
	descTimeouts   = describe("device_timeouts_total", "Polls of the device that failed because no answer came in time.", "device")
	descLate       = describe("device_late_polls_total", "Polls of the device that were answered after the next one was due.", "device")
	descBusy       = describe("bus_busy_seconds_total", "Time that the endpoint or serial port was in use; its rate is the part of the time.", "endpoint")
	descQueue      = describe("bus_waiting", "Polls and commands whose turn has come on the endpoint or serial port, besides the one that goes on.", "endpoint")
	descReconnects = describe("bus_reconnects_total", "Times that the connection was made, or the port opened, again.", "endpoint")
	descClock      = describe("clock_state", "1 for the state that the clock is in.", "state")
	descSource     = describe("clock_source", "1 for what gives the time: kernel or NTP.", "source")
	descSteps      = describe("clock_steps_total", "Times that the wall clock was set since the start.")
	descMaxError   = describe("clock_max_error_seconds", "The bound of the clock's error that its source gives; absent while there is none.")
	descHolding    = describe("clock_holding", "1 while samples wait in the buffer for the time to be known.")
	descLimit      = describe("buffer_limit_bytes", "What all files of the buffer together stay within.")
	descUsed       = describe("buffer_used_bytes", "Bytes of the buffer's files by what they hold: telemetry, events, books, set_aside.", "what")
	descReserve    = describe("buffer_reserve_bytes", "The part of the limit that is kept for events.")
	descLeft       = describe("buffer_left_seconds", "How long the buffer lasts before telemetry is thinned, if nothing were acknowledged from now on; absent until it is known.")
	descSegments   = describe("buffer_segments", "Telemetry files by how often they were thinned.", "generation")
	descThinned    = describe("buffer_thinned_segments_total", "Files that were thinned since the start.")
	descDropped    = describe("buffer_dropped_segments_total", "Files that were given up to make room since the start.")
	descCommit     = describe("buffer_commit_seconds", "How long commits to disk took: the last one, and the longest since the start.", "which")
	descFailing    = describe("buffer_failing_seconds", "For how long commits have failed; 0 while they succeed.")
	descControl    = describe("control_enabled", "1 if devices may be operated at all.")
	descControls   = describe("controls_total", "Steps of operating a device since the start: select, operate, cancel and expire, by what came of them.", "action", "outcome")
	descMQTT       = describe("mqtt_connected", "1 while there is a connection to the MQTT broker that alarms are published to.")
	descPublished  = describe("mqtt_published_total", "Alarms raised and cleared that the MQTT broker has acknowledged.")
	descUnsent     = describe("mqtt_waiting", "Alarms raised and cleared that wait for the MQTT broker.")
	descGivenUp    = describe("mqtt_dropped_total", "Alarms raised and cleared that weren't published, because too many waited.")
	descProblems   = describe("problems", "Conditions that keep /healthz from being ok.")
	descUpdate     = describe("update_info", "1; the labels say which version this machine was started with, and whether it is on trial.", "version", "slot", "trial")
	descRolledBack = describe("update_rolled_back", "1 if the last update was rolled back; absent before the first.")

	descValues         = describe("mqtt_values_connected", "1 while there is a connection to the MQTT broker that values are published to.")
	descValuesSent     = describe("mqtt_values_published_total", "Values that were published by MQTT.")
	descValuesReplaced = describe("mqtt_values_replaced_total", "Values that weren't published by MQTT, since a later one of the signal came before.")

	descSparkplug        = describe("sparkplug_connected", "1 while there is a connection to the broker that measurements are published to by Sparkplug.")
	descSparkplugOnline  = describe("sparkplug_online", "1 while they are published: there is a connection, and the primary host if one is awaited.")
	descSparkplugSent    = describe("sparkplug_published_total", "Messages that were published by Sparkplug.")
	descSparkplugWaiting = describe("sparkplug_waiting", "Values that wait to be published by Sparkplug.")
	descMaster           = describe("iec104_master_started", "1 while a control room has started a connection of the group.", "group")
	descMasterWaiting    = describe("iec104_master_waiting", "Events that wait to be told to the control room.", "group")
	descMastersKept      = describe("iec104_events_kept", "1 while events are on disk before control rooms are told; 0 if it doesn't take them in time.")
	descMastersPassed    = describe("iec104_events_unkept_total", "Events that were let go to control rooms without waiting for the disk.")
	descMasterDropped    = describe("iec104_master_dropped_total", "Events that the control room was never told, as too many waited.", "group")
	descSparkplugDropped = describe("sparkplug_dropped_total", "Values that weren't published by Sparkplug, as too many waited.")
)

// scrape turns one report into metrics, so that all of them are of the same moment.
func scrape(r Report) *exposition {
	e := &exposition{families: map[*metric][]byte{}}
	counter := func(m *metric, v uint64, labels ...string) { e.add(m, float64(v), labels...) }
	e.add(descInfo, 1, r.Gateway, r.Site, r.Version)
	counter(descSamples, r.Good, "good")
	counter(descSamples, r.Bad, "bad")
	counter(descLeftOut, r.LeftOut)
	counter(descDiscarded, r.Discarded)
	counter(descAlarms, r.AlarmsRaised, "raised")
	counter(descAlarms, r.AlarmsEnd, "cleared")
	counter(descSuppressed, r.Suppressed)
	counter(descUncaptured, r.Uncaptured)
	for _, s := range r.Streams {
		e.add(descWaiting, float64(s.Waiting), s.Name)
		e.add(descBytes, float64(s.Bytes), s.Name)
		counter(descCommitted, s.Committed, s.Name)
	}
	for _, l := range r.Lanes {
		counter(descSent, l.Sent, l.Name)
		counter(descSentBytes, l.SentBytes, l.Name)
		counter(descLinkChange, l.Changes, l.Name)
		for state, spent := range l.Spent {
			e.add(descLink, number(state == l.State), l.Name, state)
			e.add(descLinkTime, spent.Seconds(), l.Name, state)
		}
	}
	b := r.Buffer
	e.add(descLimit, float64(b.Limit))
	e.add(descReserve, float64(b.Reserve))
	e.add(descUsed, float64(b.Telemetry), "telemetry")
	e.add(descUsed, float64(b.Events), "events")
	e.add(descUsed, float64(b.Books), "books")
	e.add(descUsed, float64(b.SetAside), "set_aside")
	if b.Left >= 0 {
		e.add(descLeft, b.Left.Seconds())
	}
	for generation, n := range b.Generations {
		e.add(descSegments, float64(n), strconv.Itoa(generation))
	}
	counter(descThinned, b.Thinned)
	counter(descDropped, b.Dropped)
	e.add(descCommit, b.LastCommit.Seconds(), "last")
	e.add(descCommit, b.LongestCommit.Seconds(), "longest")
	failing := 0.0
	if !b.FailingSince.IsZero() {
		failing = time.Since(b.FailingSince).Seconds()
	}
	e.add(descFailing, failing)
	for _, d := range r.Devices {
		counter(descPolls, d.Polls-d.Failed, d.ID, "answered")
		counter(descPolls, d.Failed, d.ID, "failed")
		counter(descPolls, d.Missed, d.ID, "missed")
		counter(descTimeouts, d.Timeouts, d.ID)
		counter(descLate, d.Late, d.ID)
		if !d.LastAnswer.IsZero() {
			e.add(descLastAnswer, float64(d.LastAnswer.UnixMilli())/1000, d.ID)
		}
	}
	for _, b := range r.Buses {
		e.add(descBusy, b.Busy.Seconds(), b.Endpoint)
		e.add(descQueue, float64(b.Waiting), b.Endpoint)
		counter(descReconnects, b.Reconnects, b.Endpoint)
	}
	for _, state := range []telemetry.ClockState{telemetry.ClockUnset, telemetry.ClockFreeRunning, telemetry.ClockSynchronised} {
		e.add(descClock, number(r.Clock.State == state), string(state))
	}
	e.add(descSource, 1, r.Clock.Source)
	counter(descSteps, r.Clock.Steps)
	if r.Clock.MaxError > 0 {
		e.add(descMaxError, r.Clock.MaxError.Seconds())
	}
	e.add(descHolding, number(r.Clock.Holding))
	e.add(descControl, number(r.Control.Enabled))
	for _, c := range r.Control.Counts {
		counter(descControls, c.Count, c.Action, c.Outcome)
	}
	if v := r.Values; v != nil {
		e.add(descValues, number(v.Connected))
		counter(descValuesSent, v.Published)
		counter(descValuesReplaced, v.Replaced)
	}
	if s := r.Sparkplug; s != nil {
		e.add(descSparkplug, number(s.Connected))
		e.add(descSparkplugOnline, number(s.Online))
		counter(descSparkplugSent, s.Published)
		e.add(descSparkplugWaiting, float64(s.Waiting))
		counter(descSparkplugDropped, s.Dropped)
	}
	if s := r.IEC104; s != nil {
		e.add(descMastersKept, number(s.Kept))
		counter(descMastersPassed, s.Passed)
		for _, g := range s.Groups {
			e.add(descMaster, number(g.Master != ""), g.Name)
			e.add(descMasterWaiting, float64(g.Waiting), g.Name)
			counter(descMasterDropped, g.Dropped, g.Name)
		}
	}
	if m := r.MQTT; m != nil {
		e.add(descMQTT, number(m.Connected))
		counter(descPublished, m.Published)
		e.add(descUnsent, float64(m.Waiting))
		counter(descGivenUp, m.Dropped)
	}
	if u := r.Update; u != nil {
		e.add(descUpdate, 1, u.Running.Version, strconv.Itoa(u.Running.Number), strconv.FormatBool(u.Running.Trial))
		if u.Last != nil {
			e.add(descRolledBack, number(!u.Last.Confirmed))
		}
	}
	e.add(descProblems, float64(len(r.Problems)))
	e.process()
	return e
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
