package alarm

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// alarmID is what stands in addresses of the API as it is.
var alarmID = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// parse reads the event in a record and checks that it has what its kind needs.
func parse(r record.Record) (telemetry.Event, store.Reason, error) {
	var e telemetry.Event
	if r.Stream != record.Events || r.Format != record.FormatEvent || r.Count() != 1 || r.Last > math.MaxInt64 {
		return e, store.BadHeaders, fmt.Errorf("record %s of format %q is no event", r.Identity, r.Format)
	}
	if err := json.Unmarshal(r.Payload, &e); err != nil {
		return e, store.CorruptEvent, err
	}
	leaveOut(e)
	return e, store.CorruptEvent, check(e)
}

// longestName bounds the version, the method and the group of a rule, in bytes.
const longestName = 100

// leaveOut takes from an event what can't be kept and without which it means the same.
func leaveOut(e telemetry.Event) {
	if a := e.Alarm; a != nil {
		for _, text := range []*string{&a.Version, &a.Method, &a.Group} {
			if len(*text) > longestName || !utf8.ValidString(*text) || strings.ContainsRune(*text, 0) {
				*text = ""
			}
		}
		if !alarmID.MatchString(a.FirstUp) {
			a.FirstUp = ""
		}
		a.Confirmed = max(a.Confirmed, 0)
	}
	if l := e.Lifecycle; l != nil && l.Presence != nil && store.CheckPresence(*l.Presence) != nil {
		l.Presence = nil
	}
}

// longestText bounds what is shown of a damaged file or a configuration, in bytes.
const longestText = 2000

func check(e telemetry.Event) error {
	switch e.Kind {
	case telemetry.AlarmRaised, telemetry.AlarmCleared:
		if e.Alarm == nil || !alarmID.MatchString(e.Alarm.ID) {
			return fmt.Errorf("%s names no alarm by 1 to 64 of 0-9, A-Z, a-z, _ and -", e.Kind)
		}
		if e.Decided <= 0 {
			return fmt.Errorf("%s says not when it was decided", e.Kind)
		}
		if reserved(e.Alarm.ID) {
			return fmt.Errorf("%s names the alarm %s, which is the cloud's own", e.Kind, e.Alarm.ID)
		}
	case telemetry.AlarmCaptured:
		if e.Capture == nil || !alarmID.MatchString(e.Capture.Alarm) || e.Decided <= 0 {
			return fmt.Errorf("%s doesn't say of which alarm or when", e.Kind)
		}
		if reserved(e.Capture.Alarm) {
			return fmt.Errorf("%s names the alarm %s, which is the cloud's own", e.Kind, e.Capture.Alarm)
		}
		if err := store.CheckCapture(*e.Capture); err != nil {
			return fmt.Errorf("%s: %w", e.Kind, err)
		}
	case telemetry.GatewayStarted, telemetry.GatewayStopped:
		if e.Lifecycle == nil {
			return fmt.Errorf("%s says nothing of what was committed", e.Kind)
		}
		for _, c := range e.Lifecycle.Committed {
			if err := checkSequence(c.Epoch, c.Stream, c.Count); err != nil {
				return fmt.Errorf("%s: %w", e.Kind, err)
			}
		}
	case telemetry.GatewayAlive:
		if e.Presence == nil {
			return fmt.Errorf("%s doesn't say how often", e.Kind)
		}
		if err := store.CheckPresence(*e.Presence); err != nil {
			return fmt.Errorf("%s: %w", e.Kind, err)
		}
	case telemetry.SamplesLost:
		if e.Loss == nil {
			return fmt.Errorf("%s doesn't say which", e.Kind)
		}
		if err := store.CheckLoss(*e.Loss); err != nil {
			return fmt.Errorf("%s: %w", e.Kind, err)
		}
	case telemetry.SamplesCounted:
		if e.Account == nil {
			return fmt.Errorf("%s has no account", e.Kind)
		}
		if err := store.CheckAccount(*e.Account); err != nil {
			return fmt.Errorf("%s: %w", e.Kind, err)
		}
	case telemetry.LinkChanged:
		if e.Link == nil || e.Time <= 0 {
			return fmt.Errorf("%s doesn't say which or when", e.Kind)
		}
		if err := store.CheckLink(*e.Link); err != nil {
			return fmt.Errorf("%s: %w", e.Kind, err)
		}
	case telemetry.ClockChanged:
		if e.Step == nil {
			return fmt.Errorf("%s doesn't say how", e.Kind)
		}
	case telemetry.BufferDamaged:
		if e.Damage == nil || e.Damage.File == "" || len(e.Damage.File) > longestText || len(e.Damage.Cause) > longestText {
			return fmt.Errorf("%s names no file, or says more than %d bytes of it", e.Kind, longestText)
		}
	case telemetry.ConfigurationApplied, telemetry.ConfigurationRolledBack:
		return checkConfiguration(e)
	case telemetry.UpdateConfirmed, telemetry.UpdateRolledBack:
		if e.Update == nil || e.Time <= 0 {
			return fmt.Errorf("%s doesn't say which or when", e.Kind)
		}
		if err := store.CheckUpdate(*e.Update); err != nil {
			return fmt.Errorf("%s: %w", e.Kind, err)
		}
	case telemetry.CommandAnswered:
		if e.Answer == nil || e.Decided <= 0 {
			return fmt.Errorf("%s doesn't say which or when", e.Kind)
		}
		if err := store.CheckAnswer(*e.Answer); err != nil {
			return fmt.Errorf("%s: %w", e.Kind, err)
		}
	case telemetry.CounterRolledOver, telemetry.CounterReset:
		if e.Counter == nil {
			return fmt.Errorf("%s names no counter", e.Kind)
		}
		if err := store.CheckCounter(e.Kind, *e.Counter); err != nil {
			return fmt.Errorf("%s: %w", e.Kind, err)
		}
	case telemetry.SupplyFailed:
		if e.LastGasp == nil || e.Time <= 0 {
			return fmt.Errorf("%s doesn't say what or when", e.Kind)
		}
	case telemetry.SupplyRestored:
		if e.Restored == nil || e.Time <= 0 {
			return fmt.Errorf("%s doesn't say what or when", e.Kind)
		}
	case telemetry.SupplyInterrupted:
		if i := e.Interruption; i == nil || i.Device == "" || i.Asset == "" || e.Time <= 0 || i.To < e.Time {
			return fmt.Errorf("%s doesn't say of which device and asset, or from when to when", e.Kind)
		}
	case telemetry.VoltageSag, telemetry.VoltageSwell:
		if e.Disturbance == nil {
			return fmt.Errorf("%s doesn't say of which device", e.Kind)
		}
		if err := store.CheckDisturbance(*e.Disturbance, e.Time); err != nil {
			return fmt.Errorf("%s: %w", e.Kind, err)
		}
	case telemetry.ControlAttempted:
		if e.Control == nil || e.Decided <= 0 {
			return fmt.Errorf("%s doesn't say what or when", e.Kind)
		}
		if err := store.CheckControl(*e.Control); err != nil {
			return fmt.Errorf("%s: %w", e.Kind, err)
		}
	case telemetry.MasterMissed:
		if m := e.Missed; m == nil || m.Count == 0 || m.Master == "" || len(m.Master) > longestName || !utf8.ValidString(m.Master) || strings.ContainsRune(m.Master, 0) {
			return fmt.Errorf("%s doesn't say who or how many, or says more than %d bytes of it", e.Kind, longestName)
		}
	default:
		return fmt.Errorf("unknown kind %q", e.Kind)
	}
	return nil
}

func checkSequence(epoch, stream string, number uint64) error {
	if _, err := record.ParseEpoch(epoch); err != nil {
		return err
	}
	if s := record.Stream(stream); s != record.Events && s != record.Telemetry {
		return fmt.Errorf("unknown stream %q", stream)
	}
	if number > math.MaxInt64 {
		return fmt.Errorf("sequence number %d is too large", number)
	}
	return nil
}

var hash = regexp.MustCompile(`^[0-9a-f]{64}$`)

func checkConfiguration(e telemetry.Event) error {
	c := e.Configuration
	switch {
	case c == nil || e.Time <= 0 || e.Decided <= 0:
		return fmt.Errorf("%s doesn't say which or when", e.Kind)
	case !hash.MatchString(c.Before) || !hash.MatchString(c.After):
		return fmt.Errorf("%s names no configurations by their SHA-256", e.Kind)
	case len(c.Cause) > longestText || len(c.By) > longestText || !utf8.ValidString(c.Cause+c.By) || strings.ContainsRune(c.Cause+c.By, 0):
		return fmt.Errorf("%s says more than %d bytes of who or why, or what is no text", e.Kind, longestText)
	}
	return nil
}
