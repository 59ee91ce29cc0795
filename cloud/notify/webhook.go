package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/telemetry"
)

// Webhook is told of each change of an alarm by Standard Webhooks.
type Webhook struct {
	Name string // by which it is known again after a restart
	outgoing.Server
	SecretFile string
	Choice
}

// Version is that of Message.
const Version = 1

// Message is the body of a webhook.
type Message struct {
	Version   int       `json:"version"`
	Type      string    `json:"type"`      // alarm. and what has happened, or alarm.unacknowledged
	Timestamp time.Time `json:"timestamp"` // of the change, as Data has it
	Data      Data      `json:"data"`
}

// Data is a change and the alarm after it.
type Data struct {
	Seq     int64            `json:"seq"` // rises from change to change, with gaps
	At      telemetry.Micros `json:"at_us"`
	By      string           `json:"by"`
	Comment string           `json:"comment"`
	Alarm   alarm.Alarm      `json:"alarm"`
}

func messageOf(c alarm.Told) Message {
	return Message{Version, "alarm." + string(c.Action), c.At.Moment(), Data{c.Seq, c.At, c.By, c.Comment, c.Alarm}}
}

// messageID is the same at every attempt. It names more than the change's number: a
// database that was restored gives those since the backup to others. A dot would end it in
// what is signed.
func messageID(c alarm.Told) string {
	return fmt.Sprintf("%s-%d-%s-%d", c.Alarm.ID, c.Seq, c.Action, int64(c.At))
}

type hook struct {
	Webhook
	client *http.Client
}

func newHook(r *Runner, w Webhook) (*follower, error) {
	client, err := w.Client()
	if err == nil {
		_, err = secrets(w.SecretFile)
	}
	if err != nil {
		return nil, fmt.Errorf("notify: webhook %s: %w", w.Name, err)
	}
	h := hook{w, client}
	return newFollower(r, "webhook", w.Name, w.Choice, func(ctx context.Context, list []alarm.Told) error {
		body, err := json.Marshal(messageOf(list[0]))
		if err != nil {
			return &outgoing.Failure{Err: err, Final: true}
		}
		return h.deliver(ctx, messageID(list[0]), body)
	}), nil
}

func (h hook) deliver(ctx context.Context, id string, body []byte) error {
	keys, err := secrets(h.SecretFile)
	if err != nil {
		return &outgoing.Failure{Err: err}
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("webhook-id", id)
	header.Set("webhook-timestamp", now)
	header.Set("webhook-signature", sign(keys, id, now, body))
	return h.Post(ctx, h.client, header, body)
}
