package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/topic"
	"github.com/busbar/busbar/sim/truth"
)

// written is where a scenario writes to.
type written struct {
	Truth       string `help:"Write what really happened, as JSON lines; kafka: is the topic busbar.truth, kafka:TOPIC another one. Nothing that is judged by it may read it." placeholder:"FILE|kafka:"`
	Evidence    string `help:"Write what the edge told, as JSON lines in the order of arrival; kafka: is the topic busbar.sim-evidence." placeholder:"FILE|kafka:"`
	Readings    string `help:"Write what meters counted each quarter-hour, as CSV, if the scenario has loads." placeholder:"FILE"`
	Prices      string `help:"Write the prices of each quarter-hour, day-ahead and of imbalance, as CSV." placeholder:"FILE"`
	Nominations string `help:"Write what a portfolio of service points was nominated to take in each quarter-hour, as CSV." placeholder:"FILE"`
	Model       string `help:"Write the grid as it is known, with its mistakes, as YAML." placeholder:"FILE"`
	Kafka       string `help:"The Kafka of kafka: a broker of this machine, or a file whose name ends in .yaml with what a gateway has under kafka: brokers, tls, sasl and so on." placeholder:"HOST:PORT|FILE"`

	direct bool // each line is written at once
}

func (c written) paths() []string {
	return []string{c.Truth, c.Evidence, c.Readings, c.Prices, c.Nominations, c.Model}
}

// toStdout reports whether standard output is one of them.
func (c written) toStdout() bool { return slices.Contains(c.paths(), "-") }

// differ refuses two outputs in one file.
func (c written) differ() error {
	seen := map[string]bool{}
	for _, path := range c.paths() {
		if path = filepath.Clean(path); path != "." && path != "kafka:" && seen[path] {
			return program.Usage{Err: fmt.Errorf("two outputs can't be written to %s at once", path)}
		}
		seen[path] = true
	}
	return nil
}

// kafkaOf is the connection that a value of --kafka means, and where its files are.
func kafkaOf(value string) (c kafkaconn.Config, dir string, err error) {
	name := "--kafka"
	var src []byte
	switch {
	case value == "":
		return c, "", program.Usage{Err: errors.New("--kafka is missing: which broker is it?")}
	case strings.HasSuffix(value, ".yaml") || strings.HasSuffix(value, ".yml"):
		if src, err = configfile.Read(value); err != nil {
			return c, "", err
		}
		name, dir = value, filepath.Dir(value)
	default:
		src = fmt.Appendf(nil, "brokers: [%q]\n", value)
	}
	f, _ := configfile.Decode(name, src, &c)
	c.Validate(f, "")
	return c, dir, f.Err()
}

// open is where a scenario writes to, and how that is closed. Close it also after
// an error.
func (c written) open(ctx context.Context, s *scenario.Scenario, files *outputs) (sinks scenario.Sinks, err error) {
	if err := c.differ(); err != nil {
		return sinks, err
	}
	files.direct = c.direct
	lines := func(path, usual string) (func(any) error, error) {
		if name, is := strings.CutPrefix(path, "kafka:"); is {
			config, dir, err := kafkaOf(c.Kafka)
			if err != nil {
				return nil, err
			}
			if name == "" {
				name = topic.Name(config, usual)
			}
			w, err := topic.Open(ctx, config, dir, name)
			if err != nil {
				return nil, err
			}
			files.topics = append(files.topics, w)
			return w.Write, nil
		}
		w, err := files.open(path)
		if w == nil || err != nil {
			return nil, err
		}
		encoder := json.NewEncoder(w)
		return encoder.Encode, nil
	}
	write, err := lines(c.Truth, topic.Truth)
	if err != nil {
		return sinks, err
	}
	if write != nil {
		sinks.Truth = func(r truth.Record) error { return write(r) }
	}
	tell, err := lines(c.Evidence, topic.Evidence)
	if err != nil {
		return sinks, err
	}
	if tell != nil {
		sinks.Evidence = func(e evidence.Event) error { return tell(e) }
	}
	if c.Readings != "" && s.Loads == nil {
		return sinks, program.Usage{Err: fmt.Errorf("--readings: scenario %s has no loads", s.Name())}
	}
	if w, err := files.open(c.Readings); err != nil {
		return sinks, err
	} else if w != nil {
		fmt.Fprintln(w, "time_us,meter,import_wh,export_wh,arrival_us")
		var line []byte
		sinks.Readings = func(r scenario.Reading) error {
			line = appendReading(line[:0], r)
			_, err := w.Write(line)
			return err
		}
	}
	if w, err := files.open(c.Prices); err != nil {
		return sinks, err
	} else if w != nil {
		fmt.Fprintln(w, "start_us,day,number,day_ahead_eur_mwh,imbalance_eur_mwh")
		if err := s.Prices(ctx, func(p scenario.Price) error {
			_, err := fmt.Fprintf(w, "%d,%s,%d,%.2f,%.2f\n", p.Start, p.Day, p.Number, p.DayAhead, p.Imbalance)
			return err
		}); err != nil {
			return sinks, err
		}
	}
	if w, err := files.open(c.Nominations); err != nil {
		return sinks, err
	} else if w != nil {
		fmt.Fprintln(w, "start_us,day,number,nominated_wh")
		if err := s.Nominations(ctx, func(n scenario.Nomination) error {
			_, err := fmt.Fprintf(w, "%d,%s,%d,%d\n", n.Start, n.Day, n.Number, n.Wh)
			return err
		}); err != nil {
			return sinks, err
		}
	}
	if w, err := files.open(c.Model); err != nil {
		return sinks, err
	} else if w != nil {
		known, _ := s.Known()
		if err := gridfile.WriteYAML(w, known); err != nil {
			return sinks, err
		}
	}
	return sinks, nil
}

// appendReading is a row; what wasn't counted is empty.
func appendReading(line []byte, r scenario.Reading) []byte {
	number := func(x float32) {
		if line = append(line, ','); x == x {
			line = strconv.AppendFloat(line, float64(x), 'f', 1, 32)
		}
	}
	line = strconv.AppendInt(line, r.At, 10)
	line = append(append(line, ','), r.Meter...)
	number(r.Import)
	number(r.Export)
	line = strconv.AppendInt(append(line, ','), r.Arrival, 10)
	return append(line, '\n')
}

// outputs are files and topics that are written, each once.
type outputs struct {
	direct bool
	files  []output
	topics []*topic.Writer
}

type output struct {
	*bufio.Writer
	file *os.File
}

// open is the file at path, "-" for standard output, or nil if path is empty.
func (o *outputs) open(path string) (io.Writer, error) {
	if path == "" {
		return nil, nil
	}
	file := os.Stdout
	if path != "-" {
		var err error
		if file, err = os.Create(path); err != nil {
			return nil, err
		}
	}
	x := output{bufio.NewWriterSize(file, 256<<10), file}
	o.files = append(o.files, x)
	if o.direct {
		return file, nil
	}
	return x.Writer, nil
}

func (o *outputs) close() (err error) {
	for _, x := range o.files {
		err = errors.Join(err, x.Flush())
		if x.file != os.Stdout {
			err = errors.Join(err, x.file.Close())
		}
	}
	for _, x := range o.topics {
		err = errors.Join(err, x.Close())
	}
	return err
}
