package command

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/keyfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func TestACommandIsSignedForTheRunningProcessAndOnRecord(t *testing.T) {
	topics := record.TopicsOf("")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics.Commands()))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "busbar.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	connection := []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	sender, err := NewSender(s, func() (keyfile.Key, error) { return keyfile.Key{Private: key}, nil }, connection, topics)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	request := Request{Gateway: "gw", Kind: record.Reset, Alarm: "a1", By: "Ana"}
	if _, err := sender.Send(t.Context(), request); !errors.Is(err, store.ErrNotRunning) {
		t.Errorf("to a gateway that doesn't run: %v", err)
	}
	ledger := s.NewLedger()
	started := record.Identity{Gateway: "gw", Epoch: 0x1f, Stream: record.Events}
	verdict, err := ledger.Judge(t.Context(), started, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	ledger.Note(started, 1, false, verdict, 1, 1, true)
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveLedger(ledger) }); err != nil {
		t.Fatal(err)
	}
	if _, err := sender.Send(t.Context(), Request{Gateway: "gw", Kind: record.Reset, By: "Ana"}); err == nil {
		t.Error("a reset of no alarm is sent")
	}
	sent, err := sender.Send(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if sent.Epoch != "000000000000001f" || sent.Kind != record.Reset || sent.Alarm != "a1" || sent.Expires-sent.Issued != telemetry.Micros(DefaultLife.Microseconds()) {
		t.Errorf("%+v", sent)
	}
	reader, err := kgo.NewClient(append(connection, kgo.ConsumeTopics(topics.Commands()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	inLog := reader.PollRecords(t.Context(), 10).Records()
	if len(inLog) != 1 || string(inLog[0].Key) != "gw" {
		t.Fatalf("in the log: %v", inLog)
	}
	var headers []record.Header
	for _, h := range inLog[0].Headers {
		headers = append(headers, record.Header(h))
	}
	seal, err := record.ParseSeal(headers)
	if c, parseErr := record.ParseCommand(inLog[0].Value); err != nil || parseErr != nil || c != sent || !seal.VerifyCommand(key.Public().(ed25519.PublicKey), inLog[0].Key, inLog[0].Value) {
		t.Errorf("in the log: %+v, %v, %v", c, err, parseErr)
	}

	// Who asked for what is on record before anything is answered.
	if c, err := s.Command(t.Context(), sent.ID); err != nil || c.Command != sent || c.Result != "" {
		t.Errorf("before the answer: %+v, %v", c, err)
	}
	ended, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Await(ended, s, sent.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the answer: %v", err)
	}
	answer := telemetry.CommandAnswer{ID: sent.ID, Kind: "reset", Alarm: "a1", By: "Ana", Result: telemetry.CommandDone}
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.AnswerCommand("gw", answer, sent.Issued+5) }); err != nil {
		t.Fatal(err)
	}
	if c, err := Await(t.Context(), s, sent.ID); err != nil || c.Result != telemetry.CommandDone || c.Answered != sent.Issued+5 {
		t.Errorf("after the answer: %+v, %v", c, err)
	}
}
