package alertmanager

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Bounds of what a webhook says.
const (
	mostBytes   = 4 << 20
	mostAlerts  = 10_000
	longestName = 200  // bytes of a name of a rule, an asset or a device
	longestText = 2000 // of a summary

	// alertsAtOnce bounds a transaction: alarms of gateways wait for it.
	alertsAtOnce = 200

	shortestToken = 16
)

// message is the body of Alertmanager's webhook, version 4.
type message struct {
	Version   string            `json:"version"`
	Alerts    []json.RawMessage `json:"alerts"`
	Truncated int               `json:"truncatedAlerts"`
}

type told struct {
	Status      string    `json:"status"`
	Labels      Labels    `json:"labels"`
	Annotations Labels    `json:"annotations"`
	StartsAt    time.Time `json:"startsAt"`
	EndsAt      time.Time `json:"endsAt"`
	Fingerprint string    `json:"fingerprint"`
}

// Left is how many alerts of a webhook are left out.
type Left struct {
	Truncated  int   // by Alertmanager
	Impossible int   // say what can't be
	Cause      error // of the first of these
}

// Parse reads the body of a webhook. An alert that says what can't be doesn't take others
// along: it is left out. An error is of what is no message of version 4.
func Parse(body []byte) (alerts []alarm.Alert, left Left, err error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, Left{}, fmt.Errorf("no webhook of Alertmanager: %w", err)
	}
	if m.Version != "4" {
		return nil, Left{}, fmt.Errorf("version %q of Alertmanager's webhook, expected 4", cut(m.Version, 20))
	}
	if len(m.Alerts) > mostAlerts {
		return nil, Left{}, fmt.Errorf("%d alerts, expected at most %d", len(m.Alerts), mostAlerts)
	}
	left.Truncated = max(m.Truncated, 0)
	for i, text := range m.Alerts {
		a, err := parseAlert(text)
		if err == nil {
			alerts = append(alerts, a)
			continue
		}
		if left.Impossible++; left.Cause == nil {
			left.Cause = fmt.Errorf("alerts[%d]: %w", i, err)
		}
	}
	return alerts, left, nil
}

func parseAlert(text []byte) (alarm.Alert, error) {
	var a told
	if err := json.Unmarshal(text, &a); err != nil {
		return alarm.Alert{}, err
	}
	name := cmp.Or(a.Labels["alertname"], "unnamed")
	out := alarm.Alert{
		Fingerprint: cmp.Or(a.Fingerprint, a.Labels.fingerprint()),
		Rule:        cut(name, longestName),
		Asset:       cut(cmp.Or(a.Labels["asset"], a.Labels["instance"], a.Labels["job"]), longestName),
		Device:      cut(cmp.Or(a.Labels["device"], a.Labels["instance"]), longestName),
		Priority:    priorityOf(a.Labels["severity"]),
		Summary:     cut(cmp.Or(a.Annotations["summary"], a.Annotations["message"], a.Annotations["description"], name), longestText),
		Began:       telemetry.MicrosOf(a.StartsAt),
	}
	switch {
	case !plausible(a.StartsAt):
		return out, fmt.Errorf("startsAt is %s, expected a time since 1970", a.StartsAt)
	case a.Status == "resolved" && !plausible(a.EndsAt):
		return out, fmt.Errorf("endsAt is %s, expected a time since 1970", a.EndsAt)
	case a.Status == "resolved":
		out.Ended = telemetry.MicrosOf(a.EndsAt)
	case a.Status != "firing":
		return out, fmt.Errorf("status is %q, expected firing or resolved", cut(a.Status, 20))
	}
	return out, nil
}

func plausible(at time.Time) bool { return at.Unix() > 0 && at.Year() < 10_000 }

// cut shortens a text to at most n bytes, not within a character. No database keeps a NUL.
func cut(text string, n int) string {
	text = strings.ReplaceAll(text, "\x00", "\uFFFD")
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// priorityOf knows what severities are called in most rules.
func priorityOf(severity string) telemetry.Priority {
	switch strings.ToLower(severity) {
	case "critical", "page", "emergency", "disaster":
		return telemetry.Critical
	case "high", "error", "major":
		return telemetry.High
	case "low", "info", "information", "none", "notice", "debug":
		return telemetry.Low
	}
	return telemetry.Medium
}

// Receiver takes what Alertmanagers send by their webhooks.
type Receiver struct {
	Store     *store.Store
	TokenFile string // read at each request
	Logger    *slog.Logger
}

// CheckToken says what is wrong with the file of the token.
func (r Receiver) CheckToken() error {
	_, err := r.token()
	return err
}

func (r Receiver) token() ([]byte, error) {
	text, err := os.ReadFile(r.TokenFile)
	if err != nil {
		return nil, err
	}
	token := strings.TrimSpace(string(text))
	if len(token) < shortestToken {
		return nil, fmt.Errorf("%s: the token has %d characters, expected at least %d", r.TokenFile, len(token), shortestToken)
	}
	return []byte(token), nil
}

// ServeHTTP answers 401 without the token, and 503 when the alerts can't be kept, on which
// an Alertmanager tries again.
func (r Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	token, err := r.token()
	if err != nil {
		r.Logger.Error("Alertmanager's webhook can't be taken", "error", err)
		http.Error(w, "the token can't be read", http.StatusServiceUnavailable)
		return
	}
	given, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if !ok || subtle.ConstantTimeCompare([]byte(given), token) != 1 {
		w.Header().Set("WWW-Authenticate", `Bearer realm="alertmanager"`)
		http.Error(w, "expected the token that is meant for Alertmanager", http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, mostBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		http.Error(w, fmt.Sprintf("expected at most %d bytes", mostBytes), http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "the request broke off", http.StatusBadRequest)
		return
	}
	alerts, left, err := Parse(body)
	if err != nil {
		r.Logger.Warn("Alertmanager's webhook was refused", "error", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if left.Truncated > 0 {
		r.Logger.Warn("Alertmanager leaves alerts out, expected max_alerts: 0 in its configuration", "alerts", left.Truncated)
	}
	if left.Impossible > 0 {
		r.Logger.Warn("alerts of Alertmanager are left out, as they say what can't be", "alerts", left.Impossible, "error", left.Cause)
	}
	for part := range slices.Chunk(alerts, alertsAtOnce) {
		if err := alarm.TakeAlerts(request.Context(), r.Store, "alertmanager", part, telemetry.MicrosOf(time.Now())); err != nil {
			if request.Context().Err() == nil {
				r.Logger.Error("alerts of Alertmanager can't be kept", "error", err)
			}
			http.Error(w, "the alerts can't be kept at the moment", http.StatusServiceUnavailable)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}
