package store

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
)

// CheckDisturbance reports what of a disturbance of the voltage can't be kept.
func CheckDisturbance(d telemetry.Disturbance, at telemetry.Micros) error {
	for _, text := range []string{d.Device, d.Asset} {
		if len(text) > longestText || !utf8.ValidString(text) {
			return fmt.Errorf("a text is longer than %d bytes, or isn't UTF-8", longestText)
		}
	}
	switch {
	case d.Device == "" || d.Asset == "":
		return errors.New("it names no device or no asset")
	case d.Phase != "A" && d.Phase != "B" && d.Phase != "C":
		return fmt.Errorf("there is no phase %q", d.Phase)
	case d.Count == 0 || d.Count > math.MaxInt64:
		return fmt.Errorf("a meter has counted %d", d.Count)
	case at <= 0 || d.Since <= 0:
		return errors.New("it says not when")
	}
	return nil
}

// SaveDisturbance keeps what a meter of a gateway has counted until at.
func (t *Tx) SaveDisturbance(gateway string, kind telemetry.EventKind, d telemetry.Disturbance, at telemetry.Micros) error {
	err := t.touchGateway(gateway)
	if err == nil {
		_, err = t.Exec(`INSERT INTO disturbance (gateway, device, at, kind, phase, asset, since, number) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			gateway, d.Device, int64(at), string(kind), d.Phase, d.Asset, int64(d.Since), int64(d.Count))
	}
	if err != nil {
		return fmt.Errorf("store: keep a %s that %s/%s has counted: %w", kind, gateway, d.Device, err)
	}
	return nil
}
