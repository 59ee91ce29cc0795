package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Commands receives a gateway's commands. It belongs to one goroutine.
type Commands struct {
	connection *Connection
	gateway    string
	sign       func(logKey, value []byte) record.Seal
	now        func() telemetry.Micros
	seen       []string // ids, oldest first
}

// NewCommands makes the receiver of a gateway, whose key signs its requests.
func (c *Connection) NewCommands(gateway string, sign func(logKey, value []byte) record.Seal, now func() telemetry.Micros) *Commands {
	return &Commands{connection: c, gateway: gateway, sign: sign, now: now}
}

// Receive asks for commands that it hasn't returned before, and waits as long as
// the uplink does for one to come. That may be in vain. Messages that come with
// an error count.
func (c *Commands) Receive(ctx context.Context) ([]record.Message, error) {
	request, err := record.CommandRequest{Gateway: c.gateway, Time: c.now(), Seen: c.seen}.Message(c.sign)
	if err != nil {
		return nil, fmt.Errorf("uplink: %w", err)
	}
	body, err := request.AppendBinary(nil)
	if err != nil {
		return nil, fmt.Errorf("uplink: %w", err)
	}
	asked := time.Now()
	answer, err := c.connection.exchange(ctx, http.MethodPost, "/uplink/v1/commands", body)
	if err != nil {
		return nil, err
	}
	if answer.status != http.StatusOK {
		_, err := answer.decode()
		return nil, err
	}
	messages, fresh, err := c.read(answer.text)
	if err == nil && fresh == 0 && time.Since(asked) < tooSoon {
		err = errTooSoon
	}
	return messages, err
}

// tooSoon is what an answer without anything new takes at least, if all is well.
const tooSoon = time.Second

var errTooSoon = errors.New("uplink: it has no new command and doesn't wait for one; another gateway may have the id and key of this one")

// read reads an answer and counts the commands in it that are new.
func (c *Commands) read(text []byte) (messages []record.Message, fresh int, err error) {
	for source := bytes.NewReader(text); ; {
		m, err := record.ReadMessage(source)
		if errors.Is(err, io.EOF) {
			return messages, fresh, nil
		}
		if err != nil {
			return messages, fresh, fmt.Errorf("uplink: read the commands: %w", err)
		}
		messages = append(messages, m)
		command, err := record.ParseCommand(m.Value)
		if err == nil && !slices.Contains(c.seen, command.ID) {
			c.seen = append(c.seen, command.ID)
			fresh++
		}
		c.seen = c.seen[max(0, len(c.seen)-record.MaxCommandsSeen):]
	}
}

// Close does nothing: the connection is the lanes' as well.
func (c *Commands) Close() {}
