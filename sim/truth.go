package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// truth is one line of the truth log.
type truth struct {
	TimeUS  int64             `json:"time_us"`
	What    string            `json:"what"`
	Kind    string            `json:"kind,omitempty"`
	How     string            `json:"how,omitempty"`
	Feeder  string            `json:"feeder,omitempty"`
	Device  string            `json:"device,omitempty"`
	Answers map[string]uint32 `json:"answers,omitempty"`
}

// truthLog appends each line with one write, so that what has been written
// survives the end of the process, however it comes. A nil truthLog keeps
// nothing.
type truthLog struct{ file *os.File }

func openTruthLog(path string) (*truthLog, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("truth log: %w", err)
	}
	return &truthLog{file}, nil
}

func (l *truthLog) write(at time.Time, t truth) error {
	if l == nil {
		return nil
	}
	t.TimeUS = at.UnixMicro()
	line, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("truth log: %w", err)
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("truth log: %w", err)
	}
	return nil
}

func (l *truthLog) close() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}
