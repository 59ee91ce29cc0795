// Package publisher plays meters that publish what they measure by MQTT: as JSON, or
// through edge nodes as Sparkplug B.
package publisher

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/busbar/busbar/mqttconn"
)

// Config is some meters of one broker that publish JSON.
type Config struct {
	Connection mqttconn.Config
	Meters
}

// message is what a meter publishes.
type message struct {
	Time time.Time `json:"time"`
	Reading
	State string `json:"state"`
}

// meterTopic is a meter's by its name; and statusTopic is where it is said whether the meters are
// there, by their last will too.
func meterTopic(name string) string { return "meters/" + name }

const statusTopic = "meters/status"

// Snippet is what a gateway reads them by.
func (c Config) Snippet() string {
	return fmt.Sprintf(`devices:
  - id: meters
    mqtt: {broker: %q, stale_after: %s, available: {topic: %s}}
    follow:
      - {topic: meters/+, json: $.power, time: $.time, name: "{1}.TotW", unit: W}
      - {topic: meters/+, json: $.energy, time: $.time, name: "{1}.DmdWh", unit: W.h, kind: counter}
      - {topic: meters/+, json: $.voltage, time: $.time, name: "{1}.PhV", unit: V}
`, c.Connection.Broker, max(time.Second, 10*c.Every).Round(time.Second), statusTopic)
}

// Run publishes until ctx ends, whatever becomes of the broker meanwhile. What the meters
// measure while it is away isn't published.
func (c Config) Run(ctx context.Context, log *slog.Logger) error {
	began := time.Now()
	for ctx.Err() == nil {
		if err := c.connected(ctx, began); ctx.Err() == nil {
			log.Warn("not connected", "broker", c.Connection.Broker, "error", err)
			wait(ctx, time.Second)
		}
	}
	return ctx.Err()
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (c Config) connected(ctx context.Context, began time.Time) error {
	status := func(word string) mqttconn.Message {
		return mqttconn.Message{Topic: statusTopic, Payload: []byte(word), Retain: true}
	}
	conn, err := mqttconn.Dial(ctx, c.Connection, mqttconn.Options{Will: status("offline")})
	if err != nil {
		return err
	}
	defer conn.Abort()
	next := []mqttconn.Message{status("online")}
	due := time.NewTicker(c.Every)
	defer due.Stop()
	for {
		next = append(next, c.readings(time.Since(began), time.Now())...)
		if _, err := conn.Publish(ctx, next); err != nil {
			return err
		}
		next = next[:0]
		select {
		case <-due.C:
		case <-conn.Lost():
			return conn.Cause()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readings is what the meters publish after a time.
func (c Config) readings(after time.Duration, now time.Time) (messages []mqttconn.Message) {
	for i, r := range c.read(after) {
		if r.Silent {
			continue
		}
		payload, err := json.Marshal(message{now.UTC().Truncate(time.Millisecond), r, "running"})
		if err != nil {
			panic(err) // it is finite
		}
		messages = append(messages, mqttconn.Message{Topic: meterTopic(c.name(i)), Payload: payload, Retain: true})
	}
	return messages
}
