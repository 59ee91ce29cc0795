package clock

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// TellEvery is how often a process that may ask the kernel about its clock tells one that
// may not. What it told isn't believed for longer than three times that.
const TellEvery = 2 * time.Second

const tellMost = telemetry.Micros(3 * TellEvery / time.Microsecond)

// message is what it tells, in µs.
type message struct {
	Boot         string           `json:"boot"`
	SinceBoot    telemetry.Micros `json:"since_boot_us"`
	Offset       telemetry.Micros `json:"offset_us"` // of the wall clock from the time since the boot
	Synchronised bool             `json:"synchronised"`
	MaxError     int64            `json:"max_error_us"`
}

// maxMaxError is more than a kernel says.
const maxMaxError = int64(time.Hour / time.Microsecond)

// Tell asks the kernel, and returns what the file of Told is to hold.
func Tell(k Kernel) []byte {
	// A clock that is set in between is then one that was set since.
	now := k.Now()
	d := k.Discipline()
	text, err := json.Marshal(message{
		Boot: k.Boot().String(), SinceBoot: now.SinceBoot, Offset: now.Wall - now.SinceBoot,
		Synchronised: d.Synchronised, MaxError: d.MaxError.Microseconds(),
	})
	if err != nil {
		panic(err) // it always can be
	}
	return append(text, '\n')
}

// Told is a kernel of whose clock's source the file says what is known, if the kernel
// can't be asked. Nothing confirms the clock where the file is missing, damaged, old or
// of another boot, or the wall clock was set since.
func Told(k Kernel, file string, log *slog.Logger) Kernel {
	return &relayed{Kernel: k, file: file, log: log}
}

type relayed struct {
	Kernel
	file string
	log  *slog.Logger
	last atomic.Value // string: what was wrong with the file, "" if nothing was
}

func (r *relayed) Discipline() Discipline {
	if d := r.Kernel.Discipline(); d != (Discipline{}) {
		return d
	}
	d, err := r.read()
	wrong := ""
	if err != nil {
		wrong = err.Error()
	}
	switch was := r.last.Swap(wrong); {
	case was == wrong:
	case err != nil:
		r.log.Warn("whether the clock is synchronised isn't known: the kernel can't be asked", "error", err)
	case was != nil:
		r.log.Info("whether the clock is synchronised is known again")
	}
	return d
}

func (r *relayed) read() (Discipline, error) {
	text, err := os.ReadFile(r.file)
	if err != nil {
		return Discipline{}, err
	}
	d, err := parseMessage(text, r.Boot(), r.Now())
	if err != nil {
		return Discipline{}, fmt.Errorf("%s: %w", r.file, err)
	}
	return d, nil
}

func parseMessage(text []byte, boot record.Boot, now Instant) (Discipline, error) {
	var m message
	if err := json.Unmarshal(text, &m); err != nil {
		return Discipline{}, err
	}
	switch age := now.SinceBoot - m.SinceBoot; {
	case m.Boot != boot.String():
		return Discipline{}, fmt.Errorf("boot is %q, want this one's, %v", m.Boot, boot)
	case age < 0:
		return Discipline{}, fmt.Errorf("since_boot_us is %d, which hasn't come", m.SinceBoot)
	case age > tellMost:
		return Discipline{}, fmt.Errorf("it is older than %v", 3*TellEvery)
	case m.MaxError < 0 || m.MaxError > maxMaxError:
		return Discipline{}, fmt.Errorf("max_error_us is %d, want 0 to %d", m.MaxError, maxMaxError)
	case away(now.Wall-now.SinceBoot, m.Offset):
		return Discipline{}, errors.New("the clock was set since")
	default:
		// The bound grows by 0.5 ms a second, as the kernel's does.
		return Discipline{m.Synchronised, time.Duration(m.MaxError+int64(age)/2000) * time.Microsecond}, nil
	}
}
