package update

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/busbar/busbar/firmware-config/bundle"
)

// Gathered is how much of a bundle a gateway has.
type Gathered struct {
	Have int64 `json:"have"` // bytes
}

// Client asks a running gateway by its status page.
type Client struct {
	// Do makes a request by its path there.
	Do func(ctx context.Context, method, path string, body io.Reader) (*http.Response, error)
}

// Status is how updates stand.
func (c Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.ask(ctx, http.MethodGet, "/update", nil, &s)
}

// Install brings a bundle to the gateway, going on where it was before, and has it
// installed. The error is why it is refused.
func (c Client) Install(ctx context.Context, file io.ReadSeeker, progress func(done, total int64)) (s Status, err error) {
	h := sha256.New()
	size, err := io.Copy(h, file)
	if err != nil {
		return s, err
	}
	path := "/update/" + bundle.Digest(h.Sum(nil)).String()
	var g Gathered
	if err := c.ask(ctx, http.MethodGet, path, nil, &g); err != nil {
		return s, err
	}
	if g.Have > size {
		return s, fmt.Errorf("the gateway has %d bytes of it, and there are %d", g.Have, size)
	}
	if _, err := file.Seek(g.Have, io.SeekStart); err != nil {
		return s, err
	}
	if g.Have < size {
		body := &counted{file, g.Have, size, progress}
		if err := c.ask(ctx, http.MethodPut, fmt.Sprintf("%s?from=%d&size=%d", path, g.Have, size), body, &g); err != nil {
			return s, err
		}
	}
	return s, c.ask(ctx, http.MethodPost, fmt.Sprintf("%s/install?size=%d", path, size), nil, &s)
}

func (c Client) ask(ctx context.Context, method, path string, body io.Reader, to any) error {
	answer, err := c.Do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, bundle.MostChannel))
	if err == nil && answer.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	return nil
}

// counted tells how much of a file was read.
type counted struct {
	from        io.Reader
	done, total int64
	tell        func(done, total int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.done += int64(n)
	if c.tell != nil {
		c.tell(c.done, c.total)
	}
	return n, err
}
