package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
)

const (
	mostCaptured        = 600           // samples of a signal
	mostCapturedSignals = 500           // of an alarm
	longestCapture      = 3_600_000_000 // µs; rules ask for a third of it at most
	longestQuality      = 200           // bytes
)

// CheckCapture reports what of a capture can't be kept. Its alarm's id is checked by
// whoever knows what they look like.
func CheckCapture(c telemetry.Capture) error {
	switch {
	case c.From <= 0 || c.To < c.From || c.To-c.From > longestCapture:
		return fmt.Errorf("it is from %d to %d, want at most an hour", c.From, c.To)
	case len(c.Signals) > mostCapturedSignals:
		return fmt.Errorf("it has %d signals, at most %d", len(c.Signals), mostCapturedSignals)
	}
	for _, s := range c.Signals {
		for _, text := range []string{s.Device, s.Name, s.Unit} {
			if len(text) > longestText || !utf8.ValidString(text) {
				return fmt.Errorf("a text is longer than %d bytes, or isn't UTF-8", longestText)
			}
		}
		if s.Device == "" || s.Name == "" {
			return errors.New("a signal has no device or no name")
		}
		if len(s.Samples) > mostCaptured {
			return fmt.Errorf("%s of %s has %d samples, at most %d", s.Name, s.Device, len(s.Samples), mostCaptured)
		}
		last := c.From
		for _, sample := range s.Samples {
			if sample.Time < last || sample.Time > c.To {
				return fmt.Errorf("a sample of %s of %s isn't in its order between %d and %d", s.Name, s.Device, c.From, c.To)
			}
			if len(sample.Quality) > longestQuality || !utf8.ValidString(sample.Quality) {
				return fmt.Errorf("a quality of %s of %s is longer than %d bytes, or isn't UTF-8", s.Name, s.Device, longestQuality)
			}
			last = sample.Time
		}
	}
	return nil
}

// SaveCapture keeps what was measured around the raising of an alarm of the gateway,
// which needn't be known yet. Of two for one alarm, the one decided later is kept.
func (t *Tx) SaveCapture(gateway string, c telemetry.Capture, decided telemetry.Micros) error {
	signals, err := json.Marshal(c.Signals)
	if err == nil {
		err = t.touchGateway(gateway)
	}
	if err == nil {
		_, err = t.Exec(`INSERT INTO alarm_capture (gateway, alarm, decided, from_time, to_time, signals) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (gateway, alarm) DO UPDATE SET decided = excluded.decided, from_time = excluded.from_time, to_time = excluded.to_time,
				signals = excluded.signals WHERE excluded.decided >= alarm_capture.decided`,
			gateway, c.Alarm, int64(decided), int64(c.From), int64(c.To), string(signals))
	}
	if err != nil {
		return fmt.Errorf("store: keep the capture of alarm %s of %s: %w", c.Alarm, gateway, err)
	}
	return nil
}

// Capture is what was measured around the raising of an alarm.
type Capture struct {
	From, To telemetry.Micros
	Signals  []CapturedSignal
}

// CapturedSignal is one signal of it. Series is the newest one of its device, name and
// unit; its id is 0 until births have named it.
type CapturedSignal struct {
	telemetry.CapturedSignal
	Series Series
}

// Capture is that of a gateway's alarm; ErrNoCapture if there is none.
func (t *Tx) Capture(gateway, alarm string) (c Capture, err error) {
	var signals string
	err = t.QueryRow(`SELECT from_time, to_time, signals FROM alarm_capture WHERE gateway = ? AND alarm = ?`, []any{gateway, alarm}, &c.From, &c.To, &signals)
	if errors.Is(err, sql.ErrNoRows) {
		return Capture{}, ErrNoCapture
	}
	var captured []telemetry.CapturedSignal
	if err == nil {
		err = json.Unmarshal([]byte(signals), &captured)
	}
	if err != nil {
		return Capture{}, fmt.Errorf("store: read the capture of alarm %s: %w", alarm, err)
	}
	c.Signals = make([]CapturedSignal, len(captured))
	for i, s := range captured {
		c.Signals[i].CapturedSignal = s
		series, err := t.series(selectSeries+`WHERE gateway = ? AND device = ? AND name = ? AND unit = ? ORDER BY id DESC LIMIT 1`, gateway, s.Device, s.Name, s.Unit)
		if err != nil {
			return Capture{}, fmt.Errorf("store: read the series of the capture of alarm %s: %w", alarm, err)
		}
		if len(series) > 0 {
			c.Signals[i].Series = series[0]
		}
	}
	return c, nil
}

// ErrNoCapture says that no samples were captured of an alarm, or none have come.
var ErrNoCapture = errors.New("no samples were captured")
