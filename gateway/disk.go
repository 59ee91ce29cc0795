package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry"
)

// diskRule is the rule that the alarm of a disk names, which no configuration has.
const diskRule = "buffer-unwritable"

// diskPatience is how long commits must have failed before that is an alarm. A
// gateway that starts on such a disk says so at once.
const diskPatience = 10 * time.Second

// A full disk is borne for a minute, and this alarm isn't to be the event for whose
// room the oldest records are given up before.
const fullDiskPatience = 75 * time.Second

// disk raises an alarm of the gateway's own while the buffer can't be written. The
// alarm is sent as any other: the events don't need the disk for that.
type disk struct {
	g     *Gateway
	alarm telemetry.AlarmChange // with an ID while it is active
}

// watchDisk looks at the disk every second until ctx ends.
func (g *Gateway) watchDisk(ctx context.Context) {
	d := disk{g: g}
	d.look(0)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			d.look(diskPatience)
		}
	}
}

// look raises the alarm if the disk has been refusing for longer than patience, or
// clears it.
func (d *disk) look(patience time.Duration) {
	since, cause := d.g.refusal()
	switch active := d.alarm.ID != ""; {
	case active && since.IsZero():
		d.alarm.Summary = d.g.config.Gateway.ID + " writes its buffer again"
		d.tell(telemetry.AlarmCleared, d.g.clock.Now())
		d.alarm = telemetry.AlarmChange{}
	case !active && overdue(since, cause, patience):
		began := d.g.clock.At(since)
		d.alarm = telemetry.AlarmChange{
			ID: diskAlarmID(d.g.config.Gateway.ID, began), Rule: diskRule, Asset: d.g.config.Gateway.ID, Priority: telemetry.High,
			Summary: fmt.Sprintf("%s can't write its buffer: samples are in memory only. %.300v", d.g.config.Gateway.ID, cause),
		}
		d.tell(telemetry.AlarmRaised, began)
	}
}

// overdue reports whether the disk has been refusing for long enough to be an alarm.
func overdue(since time.Time, cause error, patience time.Duration) bool {
	if errors.Is(cause, syscall.ENOSPC) {
		patience = fullDiskPatience
	}
	return !since.IsZero() && time.Since(since) >= patience
}

func (d *disk) tell(kind telemetry.EventKind, at telemetry.Micros) {
	alarm := d.alarm
	e := telemetry.Event{Kind: kind, Time: at, Decided: d.g.clock.Now(), Alarm: &alarm}
	item, err := d.g.item(e)
	if err == nil {
		d.g.pipeline.tellSite(e, item.Payload)
		err = d.g.buffer.Events.Hold([]buffer.Item{item}, nil)
	}
	if err != nil {
		d.g.log.Error("the alarm of the disk can't be sent", "error", err)
	}
}

func diskAlarmID(gateway string, began telemetry.Micros) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(gateway+"\x00"+diskRule+"\x00"), uint64(began)))
	return hex.EncodeToString(sum[:8])
}

// refusal says since when the buffer can't be written, and why; since is zero while
// it can.
func (g *Gateway) refusal() (since time.Time, cause error) {
	since, cause = g.buffer.Refused()
	for _, c := range []*buffer.Chain{g.buffer.Events, g.buffer.Telemetry} {
		if s, why := c.Refused(); !s.IsZero() && (since.IsZero() || s.Before(since)) {
			since, cause = s, why
		}
	}
	return since, cause
}
