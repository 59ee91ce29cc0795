package journal

import (
	"io"
	"log/slog"
	"strings"
	"testing"
)

func TestTheLastLinesAreKept(t *testing.T) {
	var written strings.Builder
	j, log := New(slog.New(slog.NewTextHandler(&written, &slog.HandlerOptions{Level: slog.LevelInfo})))
	log.Debug("unseen")
	log.With("gateway", "gw").Warn("first")
	text, next, more := j.From(0)
	if next != 1 || !strings.HasSuffix(string(text), "level=WARN msg=first gateway=gw\n") || string(text) != written.String() {
		t.Errorf("%d: %q, written %q", next, text, written.String())
	}
	select {
	case <-more:
		t.Fatal("there is more")
	default:
	}
	log.Info("second")
	<-more
	if text, next, _ = j.From(next); next != 2 || !strings.Contains(string(text), "second") || strings.Contains(string(text), "first") {
		t.Errorf("%d: %q", next, text)
	}
	if text, _, _ = j.From(7); len(text) != 0 {
		t.Errorf("of later: %q", text)
	}
}

func TestAJournalIsBounded(t *testing.T) {
	j, log := New(slog.New(slog.NewTextHandler(io.Discard, nil)))
	for range 5000 {
		log.Info(strings.Repeat("x", 200))
	}
	text, next, _ := j.From(0)
	if next != 5000 || len(text) > most || len(text) < most-1000 {
		t.Errorf("%d lines, %d bytes", next, len(text))
	}
}
