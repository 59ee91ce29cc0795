// Package alertmanager speaks with Prometheus' Alertmanager: what is sent to its API,
// what its webhooks say, and the part of its API by which others read alerts.
package alertmanager

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
)

// Labels are what tells alerts apart, or says something of them.
type Labels map[string]string

// Key is the same for the same labels.
func (l Labels) Key() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(l)) {
		b.WriteString(name)
		b.WriteByte(0)
		b.WriteString(l[name])
		b.WriteByte(0)
	}
	return b.String()
}

// set leaves out what is empty: a label without a value is none.
func (l Labels) set(name, value string) {
	if value != "" {
		l[name] = value
	}
}

// Posted is an alert as the API takes it (API v2, postableAlert).
type Posted struct {
	Labels       Labels    `json:"labels"`
	Annotations  Labels    `json:"annotations"`
	StartsAt     time.Time `json:"startsAt"`
	EndsAt       time.Time `json:"endsAt"`
	GeneratorURL string    `json:"generatorURL,omitempty"`
}

// PostedOf makes an alert of an alarm, without its end. Console is the address of the
// console that it leads to, "" if to none.
func PostedOf(a alarm.Alarm, console string) Posted {
	p := Posted{Labels: Labels{}, Annotations: Labels{}, StartsAt: a.Raised.Moment()}
	p.Labels.set("alertname", a.Rule)
	p.Labels.set("severity", string(a.Priority))
	p.Labels.set("gateway", a.Gateway)
	p.Labels.set("site", a.Site)
	p.Labels.set("asset", a.Asset)
	p.Labels.set("device", a.Device)
	p.Annotations.set("summary", a.Summary)
	p.Annotations.set("alarm", a.ID)
	if a.Acknowledged {
		p.Annotations.set("acknowledged_by", a.AcknowledgedBy)
		p.Annotations.set("comment", a.Comment)
	}
	if console != "" {
		p.GeneratorURL = strings.TrimSuffix(console, "/") + "/alarms/" + a.ID
	}
	return p
}
