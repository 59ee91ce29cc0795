package uplink

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/busbar/busbar/kafkaconn/kafkatest"
	"github.com/busbar/busbar/telemetry/record"
)

// known lets in what one key of each gateway signed.
type known map[string]ed25519.PublicKey

func (k known) Admit(_ context.Context, _ string, m record.Message) (string, error) {
	r, err := record.ParseHeaders(m.Headers, m.Value)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrRefused, err)
	}
	key, ok := k[r.Gateway]
	switch {
	case r.Gateway == "broken":
		return "", errors.New("the database is away")
	case !ok || !r.Verify(key):
		return r.Gateway, fmt.Errorf("%w: not signed by %s", ErrRefused, r.Gateway)
	}
	return r.Gateway, nil
}

func (k known) Request(_ context.Context, gateway string, m record.Message) error {
	seal, err := record.ParseSeal(m.Headers)
	switch {
	case gateway == "broken":
		return errors.New("the database is away")
	case err != nil || len(k[gateway]) == 0 || !seal.VerifyCommandRequest(k[gateway], m.Key, m.Value):
		return fmt.Errorf("%w: not signed by %s", ErrRefused, gateway)
	}
	return nil
}

func (k known) Enrol(_ context.Context, e record.Enrolment) error {
	if err := e.Verify(); err != nil || e.Token != "good" {
		return fmt.Errorf("%w: %w", ErrRefused, errors.Join(err, errors.New("token")))
	}
	k[e.Gateway] = e.PublicKey
	return nil
}

type world struct {
	*testing.T
	cluster *kfake.Cluster
	uplink  *Uplink
	keys    known
	private ed25519.PrivateKey
}

func newWorld(t *testing.T, rate int) world {
	t.Helper()
	topics := record.TopicsOf("")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics.Telemetry(), topics.Backfill(), topics.Events(), topics.Births()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := known{"gw": public, "gx": public}
	return world{t, cluster, New(Options{Producer: producer, Topics: topics, Keys: keys, MaxRate: rate, Log: slog.New(slog.DiscardHandler)}), keys, private}
}

// body is a request of one-sample records from number first on.
func (w world) body(gateway string, first, count int) []byte {
	w.Helper()
	var body []byte
	for n := range count {
		seq := uint64(first + n)
		r := record.Record{
			Identity: record.Identity{Gateway: gateway, Epoch: 1, Stream: record.Telemetry, First: seq, Last: seq},
			Format:   record.FormatBlock, Payload: []byte("payload " + strconv.Itoa(first+n)),
		}
		r.Sign(w.private)
		var err error
		if body, err = r.Message().AppendBinary(body); err != nil {
			w.Fatal(err)
		}
	}
	return body
}

// large is a request of at least so many bytes, all of it signed.
func (w world) large(size int) (body []byte) {
	for seq := uint64(0); len(body) < size; seq++ {
		r := record.Record{Identity: record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Telemetry, First: seq, Last: seq},
			Format: record.FormatBlock, Payload: make([]byte, 500<<10)}
		r.Sign(w.private)
		body, _ = r.Message().AppendBinary(body)
	}
	return body
}

// small is one signed message that is as short as can be.
func (w world) small() []byte {
	r := record.Record{Identity: record.Identity{Gateway: "g", Stream: record.Events}, Format: "f"}
	r.Sign(w.private)
	w.keys["g"] = w.private.Public().(ed25519.PublicKey)
	body, _ := r.Message().AppendBinary(nil)
	return body[:len(body):len(body)]
}

func (w world) post(path string, body []byte) (int, record.UplinkAnswer, http.Header) {
	w.Helper()
	recorder := httptest.NewRecorder()
	w.uplink.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
	var answer record.UplinkAnswer
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		w.Fatalf("%d: %v: %s", recorder.Code, err, recorder.Body)
	}
	return recorder.Code, answer, recorder.Header()
}

// inLog waits for as many records of the topic and returns their payloads.
func (w world) inLog(topic string, count int) (payloads []string) {
	w.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	for len(payloads) < count {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			w.Fatalf("%d of %d records are in %s", len(payloads), count, topic)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			headers := make([]record.Header, len(r.Headers))
			for i, h := range r.Headers {
				headers[i] = record.Header(h)
			}
			parsed, err := record.ParseHeaders(headers, r.Value)
			if err != nil || string(r.Key) != parsed.Gateway || !parsed.Verify(w.keys[parsed.Gateway]) {
				w.Errorf("key %q, record %s: %v", r.Key, parsed.Identity, err)
			}
			payloads = append(payloads, string(r.Value))
		})
	}
	return payloads
}

func TestRecordsReachTheirLaneInOrder(t *testing.T) {
	w := newWorld(t, 0)
	for lane, topic := range map[string]string{"telemetry": "busbar.telemetry", "backfill": "busbar.backfill"} {
		if code, answer, _ := w.post("/uplink/v1/records/"+lane, w.body("gw", 0, 50)); code != http.StatusOK || answer.Acknowledged != 50 {
			t.Fatalf("%s: %d %+v", lane, code, answer)
		}
		for i, payload := range w.inLog(topic, 50) {
			if payload != "payload "+strconv.Itoa(i) {
				t.Fatalf("%s: record %d is %q", lane, i, payload)
			}
		}
	}
}

func TestNothingOfARefusedRequestIsWritten(t *testing.T) {
	w := newWorld(t, 0)
	forged := w.body("gw", 0, 3)
	copy(forged[len(forged)-9:], "PAYLOAD 2")
	mixed := append(w.body("gw", 0, 2), w.body("gx", 0, 1)...)
	for name, c := range map[string]struct {
		path string
		body []byte
		code int
		text string
	}{
		"forged":             {"/uplink/v1/records/telemetry", forged, http.StatusForbidden, "message 2"},
		"two gateways":       {"/uplink/v1/records/telemetry", mixed, http.StatusForbidden, "in one request"},
		"unknown gateway":    {"/uplink/v1/records/telemetry", w.body("stranger", 0, 1), http.StatusForbidden, "not signed"},
		"cut short":          {"/uplink/v1/records/telemetry", w.body("gw", 0, 2)[:100], http.StatusBadRequest, "cut short"},
		"empty":              {"/uplink/v1/records/telemetry", nil, http.StatusBadRequest, "no messages"},
		"too large":          {"/uplink/v1/records/telemetry", w.large(maxRequest + 1), http.StatusBadRequest, "too large"},
		"too many":           {"/uplink/v1/records/telemetry", bytes.Repeat(w.small(), maxMessages+1), http.StatusBadRequest, "more than"},
		"forged and large":   {"/uplink/v1/records/telemetry", append(bytes.Clone(forged), w.large(maxRequest)...), http.StatusForbidden, "message 2"},
		"no lane":            {"/uplink/v1/records/commands", w.body("gw", 0, 1), http.StatusNotFound, "no lane"},
		"registry is absent": {"/uplink/v1/records/telemetry", w.body("broken", 0, 1), http.StatusServiceUnavailable, "can't be checked"},
	} {
		code, answer, _ := w.post(c.path, c.body)
		if code != c.code || answer.Acknowledged != 0 || !strings.Contains(answer.Error, c.text) {
			t.Errorf("%s: %d %+v, want %d and %q", name, code, answer, c.code, c.text)
		}
	}
	if w.uplink.Stats().Records != 0 {
		t.Errorf("%+v", w.uplink.Stats())
	}
	// What is written next is the first record in the log.
	w.post("/uplink/v1/records/telemetry", w.body("gw", 7, 1))
	if payloads := w.inLog("busbar.telemetry", 1); payloads[0] != "payload 7" {
		t.Errorf("%q is in the log", payloads)
	}
}

func TestOnlyWhatTheLogHasIsAcknowledged(t *testing.T) {
	w := newWorld(t, 0)
	w.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return kafkatest.Refusal(req.(*kmsg.ProduceRequest), kerr.TopicAuthorizationFailed), nil, true
	})
	if code, answer, _ := w.post("/uplink/v1/records/telemetry", w.body("gw", 0, 1)); code != http.StatusServiceUnavailable || answer.Acknowledged != 0 {
		t.Errorf("%d %+v, want nothing acknowledged", code, answer)
	}
	if code, answer, _ := w.post("/uplink/v1/records/telemetry", w.body("gw", 0, 1)); code != http.StatusOK || answer.Acknowledged != 1 {
		t.Errorf("when it is sent again: %d %+v", code, answer)
	}
}

func TestAGatewayThatSendsTooMuchIsAskedToWait(t *testing.T) {
	w := newWorld(t, 1000)
	body := w.body("gw", 0, 20) // some 5,000 bytes
	if code, _, _ := w.post("/uplink/v1/records/telemetry", body); code != http.StatusOK {
		t.Fatalf("the first request: %d", code)
	}
	code, answer, header := w.post("/uplink/v1/records/telemetry", body)
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); code != http.StatusTooManyRequests || answer.Acknowledged != 0 || err != nil || seconds < 2 || seconds > 10 {
		t.Errorf("%d %+v, Retry-After %q", code, answer, header.Get("Retry-After"))
	}
	if code, _, _ := w.post("/uplink/v1/records/telemetry", w.body("gx", 0, 1)); code != http.StatusOK {
		t.Errorf("another gateway pays for it: %d", code)
	}
	now := time.Now()
	if wait := w.uplink.throttle("gw", 1, now.Add(time.Minute)); wait != 0 {
		t.Errorf("a minute later it still waits %v", wait)
	}
}

func TestEnrolment(t *testing.T) {
	w := newWorld(t, 0)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	post := func(e record.Enrolment) int {
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		code, _, _ := w.post("/uplink/v1/enrolment", body)
		return code
	}
	stolen := record.NewEnrolment(private, "new", "good")
	stolen.Gateway = "other"
	for name, e := range map[string]record.Enrolment{
		"wrong token": record.NewEnrolment(private, "new", "guess"), "another gateway's signature": stolen, "nothing": {},
	} {
		if code := post(e); code != http.StatusForbidden {
			t.Errorf("%s: %d", name, code)
		}
	}
	if code := post(record.NewEnrolment(private, "new", "good")); code != http.StatusOK || !w.keys["new"].Equal(public) {
		t.Errorf("%d", code)
	}
}

// Whoever sends nothing, or slowly, from one address keeps nobody else out.
func TestOneAddressDoesntKeepOthersOut(t *testing.T) {
	w := newWorld(t, 0)
	from := func(address string, body io.Reader) *httptest.ResponseRecorder {
		request := httptest.NewRequest(http.MethodPost, "/uplink/v1/records/telemetry", body)
		request.RemoteAddr = address
		recorder := httptest.NewRecorder()
		w.uplink.ServeHTTP(recorder, request)
		return recorder
	}
	var stalled sync.WaitGroup
	var ends []*io.PipeWriter
	for range maxOfAddress {
		source, end := io.Pipe()
		ends = append(ends, end)
		stalled.Go(func() { from("192.0.2.1:1000", source) })
		end.Write([]byte{0}) // it is being read
	}
	if r := from("192.0.2.1:1001", bytes.NewReader(w.body("gw", 0, 1))); r.Code != http.StatusServiceUnavailable || r.Header().Get("Retry-After") == "" {
		t.Errorf("one more of the same address: %d", r.Code)
	}
	if r := from("192.0.2.2:1000", bytes.NewReader(w.body("gw", 0, 1))); r.Code != http.StatusOK {
		t.Errorf("another address: %d %s", r.Code, r.Body)
	}
	for _, end := range ends {
		end.Close()
	}
	stalled.Wait()
	if r := from("192.0.2.1:1001", bytes.NewReader(w.body("gw", 1, 1))); r.Code != http.StatusOK {
		t.Errorf("afterwards: %d", r.Code)
	}
}

func TestARequestThatComesTooSlowlyIsEnded(t *testing.T) {
	w := newWorld(t, 0)
	w.uplink.grace = 100 * time.Millisecond
	server := httptest.NewServer(w.uplink)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprint(conn, "POST /uplink/v1/records/telemetry HTTP/1.1\r\nHost: uplink\r\nContent-Length: 1000\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("%v, %v", answer, err)
	}
}

// What is logged of requests that anybody can make is bounded.
func TestRefusalsDontFillTheLog(t *testing.T) {
	w := newWorld(t, 0)
	var lines bytes.Buffer
	w.uplink.options.Log = slog.New(slog.NewTextHandler(&lines, nil))
	for range 10 * mostTold {
		w.post("/uplink/v1/records/telemetry", w.body("stranger", 0, 1))
	}
	if n := bytes.Count(lines.Bytes(), []byte("\n")); n != mostTold {
		t.Errorf("%d lines", n)
	}
}
