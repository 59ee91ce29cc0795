package uplink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Commands are the commands in the log that are still valid, for gateways to
// fetch. They are read once for all gateways, and kept in memory only.
type Commands struct {
	log   []kgo.Opt
	topic string
	slog  *slog.Logger
	ended chan struct{} // closed when Run returns

	mu      sync.Mutex
	valid   map[string][]letter // by gateway, oldest first
	count   int
	arrived chan struct{}            // closed and replaced with each command
	waiting map[string]chan struct{} // the request of each gateway; closed to end it
}

// letter is a command as it goes to its gateway.
type letter struct {
	id      string
	expires telemetry.Micros
	message record.Message
}

const (
	// mostCommands bounds those of all gateways.
	mostCommands = 10_000
	// longPoll is how long a request waits for a command: less than what lies
	// between waits for an answer.
	longPoll = 50 * time.Second
	// freshness is by how much the time of a request may be off.
	freshness = time.Minute
	// maxCommandRequest bounds a request, in bytes.
	maxCommandRequest = 16 << 10
)

// NewCommands reads the topic with the options of a connection, when it is run.
func NewCommands(connection []kgo.Opt, topics record.Topics, log *slog.Logger) *Commands {
	return &Commands{
		log: connection, topic: topics.Commands(), slog: log, ended: make(chan struct{}),
		valid: map[string][]letter{}, arrived: make(chan struct{}), waiting: map[string]chan struct{}{},
	}
}

// Run reads until ctx ends, from the oldest command that can be valid. Requests
// that wait then are answered. It may be called once.
func (c *Commands) Run(ctx context.Context) error {
	defer close(c.ended)
	client, err := kgo.NewClient(append(c.log[:len(c.log):len(c.log)], kgo.ConsumeTopics(c.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AfterMilli(time.Now().Add(-record.MaxCommandLife).UnixMilli())),
		kgo.FetchMaxBytes(1<<20))...)
	if err != nil {
		return fmt.Errorf("uplink: commands: Kafka client: %w", err)
	}
	defer client.Close()
	for failing := false; ; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		fetches.EachRecord(func(r *kgo.Record) { c.add(r, telemetry.MicrosOf(time.Now())) })
		errs := fetches.Errors()
		if len(errs) == 0 {
			failing = false
			continue
		}
		if !failing {
			c.slog.Warn("uplink: commands can't be read; trying again", "error", errs[0].Err)
		}
		failing = true
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// add keeps a command. Whether its signature is right is for the gateway to
// judge: it alone knows whom it obeys.
func (c *Commands) add(r *kgo.Record, now telemetry.Micros) {
	command, err := record.ParseCommand(r.Value)
	if err != nil || command.Gateway != string(r.Key) {
		c.slog.Warn("uplink: what is in the topic of commands is none", "partition", r.Partition, "offset", r.Offset, "error", err)
		return
	}
	headers := 0
	for _, h := range r.Headers {
		headers += len(h.Key) + len(h.Value)
	}
	if headers > record.MaxCommandBytes {
		c.slog.Warn("uplink: a command isn't passed on: its headers are too long", "gateway", command.Gateway, "offset", r.Offset, "bytes", headers)
		return
	}
	if command.Expires <= now {
		return
	}
	m := record.Message{Key: r.Key, Value: r.Value, Headers: make([]record.Header, len(r.Headers))}
	for i, h := range r.Headers {
		m.Headers[i] = record.Header(h)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(now)
	if c.count >= mostCommands {
		c.slog.Error("uplink: a command isn't passed on: there are too many", "gateway", command.Gateway)
		return
	}
	list := append(c.valid[command.Gateway], letter{command.ID, command.Expires, m})
	c.count++
	if over := len(list) - record.MaxCommandsSeen; over > 0 {
		list, c.count = list[over:], c.count-over
	}
	c.valid[command.Gateway] = list
	close(c.arrived)
	c.arrived = make(chan struct{})
}

func (c *Commands) forget(now telemetry.Micros) {
	for gateway, list := range c.valid {
		left := slices.DeleteFunc(list, func(l letter) bool { return l.expires <= now })
		c.count -= len(list) - len(left)
		if c.valid[gateway] = left; len(left) == 0 {
			delete(c.valid, gateway)
		}
	}
}

// unseen is what a gateway hasn't got yet, and what is closed when there may be
// more.
func (c *Commands) unseen(gateway string, seen []string, now telemetry.Micros) (messages []record.Message, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(now)
	for _, l := range c.valid[gateway] {
		if !slices.Contains(seen, l.id) {
			messages = append(messages, l.message)
		}
	}
	return messages, c.arrived
}

// enter makes a gateway's request the one that waits, and ends the one before.
func (c *Commands) enter(gateway string) (displaced <-chan struct{}, leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.waiting[gateway]; before != nil {
		close(before)
	}
	mine := make(chan struct{})
	c.waiting[gateway] = mine
	return mine, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.waiting[gateway] == mine {
			delete(c.waiting, gateway)
		}
	}
}

// wait returns the gateway's commands that it hasn't seen, none if there are none
// for as long as it may wait.
func (c *Commands) wait(ctx context.Context, request record.CommandRequest) []record.Message {
	displaced, leave := c.enter(request.Gateway)
	defer leave()
	timer := time.NewTimer(longPoll)
	defer timer.Stop()
	for {
		messages, more := c.unseen(request.Gateway, request.Seen, telemetry.MicrosOf(time.Now()))
		if len(messages) > 0 {
			return messages
		}
		select {
		case <-more:
		case <-displaced:
			return nil
		case <-c.ended:
			return nil
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// commands answers a gateway's request when there is a command for it, or after a
// while. What it answers is signed and no secret, so a request that somebody
// repeats while it is fresh does no harm.
func (u *Uplink) commands(w http.ResponseWriter, r *http.Request) {
	request, ok := u.commandRequest(w, r)
	if !ok {
		return
	}
	var body []byte
	for _, m := range u.options.Commands.wait(r.Context(), request) {
		longer, err := m.AppendBinary(body)
		if err != nil {
			u.options.Log.Error("uplink: a command can't be sent", "gateway", request.Gateway, "error", err)
			continue
		}
		body = longer
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(body)
}

// commandRequest reads a request and checks who asks; if it isn't let in, it is
// answered.
func (u *Uplink) commandRequest(w http.ResponseWriter, r *http.Request) (request record.CommandRequest, ok bool) {
	if !u.enter(w, r) {
		return request, false
	}
	defer u.leave(r)
	body := bufio.NewReader(u.body(w, r, maxCommandRequest))
	m, err := record.ReadMessage(body)
	if _, end := body.Peek(1); errors.Is(err, io.EOF) || err == nil && !errors.Is(end, io.EOF) {
		err = errors.New("the request isn't one message")
	}
	if err == nil {
		request, err = record.ParseCommandRequest(m)
	}
	if err != nil {
		u.refuse(w, http.StatusBadRequest, 0, err)
		return request, false
	}
	if err = u.options.Keys.Request(r.Context(), request.Gateway, m); err == nil {
		if off := time.Since(request.Time.Time()).Abs(); off > freshness {
			err = fmt.Errorf("%w: the request's time is off by %s", ErrRefused, off.Round(time.Second))
		}
	}
	switch {
	case errors.Is(err, ErrRefused):
		u.options.Log.Debug("uplink: request for commands refused", "gateway", request.Gateway, "from", r.RemoteAddr, "error", err)
		u.refuse(w, http.StatusForbidden, 0, err)
	case err != nil:
		u.options.Log.Error("uplink: a request for commands can't be checked", "gateway", request.Gateway, "error", err)
		u.refuse(w, http.StatusServiceUnavailable, 0, errors.New("the request can't be checked"))
	}
	return request, err == nil
}
