package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// Client asks a grid that another process plays on this machine.
type Client struct {
	Address string // such as 127.0.0.1:5080
}

// Refused is that what was asked for can't be done.
type Refused struct{ Reason string }

func (e Refused) Error() string { return e.Reason }

// Status is how things are.
func (c Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.ask(ctx, http.MethodGet, "/status", nil, &s)
}

// Asset is what one has at present.
func (c Client) Asset(ctx context.Context, id string) (a Asset, err error) {
	return a, c.ask(ctx, http.MethodGet, "/assets/"+url.PathEscape(id), nil, &a)
}

// Fault causes a fault.
func (c Client) Fault(ctx context.Context, q FaultRequest) (f Fault, err error) {
	return f, c.ask(ctx, http.MethodPost, "/fault", q, &f)
}

// Repair takes faults away, and returns those.
func (c Client) Repair(ctx context.Context, q RepairRequest) (f []Fault, err error) {
	return f, c.ask(ctx, http.MethodPost, "/repair", q, &f)
}

// Switch opens or closes.
func (c Client) Switch(ctx context.Context, q SwitchRequest) (s Status, err error) {
	return s, c.ask(ctx, http.MethodPost, "/switch", q, &s)
}

// CutOff returns the gateways whose connection fails.
func (c Client) CutOff(ctx context.Context, q CutOffRequest) (gateways []string, err error) {
	return gateways, c.ask(ctx, http.MethodPost, "/cut-off", q, &gateways)
}

// Speed lets time pass otherwise.
func (c Client) Speed(ctx context.Context, speed float64) (s Status, err error) {
	return s, c.ask(ctx, http.MethodPost, "/speed", SpeedRequest{&speed}, &s)
}

// longestAnswer bounds what is read: a status lists a thousand of anything.
const longestAnswer = 4 << 20

func (c Client) ask(ctx context.Context, method, path string, question, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var body bytes.Buffer
	if question != nil {
		if err := json.NewEncoder(&body).Encode(question); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.Address+path, &body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing plays at %s: start it by busbar-sim live, or say where by --at", c.Address)
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, longestAnswer))
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", c.Address, err)
	}
	if response.StatusCode != http.StatusOK {
		var p problem
		if err := json.Unmarshal(said, &p); err != nil || p.Error == "" {
			return fmt.Errorf("%s answers %s: is it busbar-sim live?", c.Address, response.Status)
		}
		return Refused{p.Error}
	}
	if err := json.Unmarshal(said, into); err != nil {
		return fmt.Errorf("the answer of %s: %w; is it busbar-sim live?", c.Address, err)
	}
	return nil
}

// Listen opens the address to serve at, which must be one of this machine alone: there
// is no sign-in.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%q is no address of this machine alone, expected one like 127.0.0.1:5080", address)
	}
	return net.Listen("tcp", address)
}
