package buffer

import (
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Measured is a sample with the signal that it is of, as the buffer's table has it.
type Measured struct {
	Signal telemetry.Signal
	Sample telemetry.Sample
}

// Contents counts what a file held and what had to be passed over.
type Contents struct {
	Exported      // Lines are samples
	Thinned  bool // the file's samples are what thinning has left of more
}

// Samples calls visit with what each record of a file, one of i.Files, holds of the
// selection: signal by signal, those of one signal in the order in which they were
// read. What is visited is valid until visit returns. What is damaged is passed over and
// counted; the error says that the file couldn't be read.
func (i *Inspection) Samples(path string, s Selection, visit func([]Measured)) (n Contents, err error) {
	defer func() { i.progress(path) }()
	var decoder telemetry.Decoder
	var samples []telemetry.Sample
	var measured []Measured
	c, err := readFile(path, func(e Entry, how found) {
		if e.Record.Stream != record.Telemetry {
			return
		}
		if how == byPage {
			n.Salvaged++
		}
		table, decoded, err := decodeBlock(&decoder, e.Record, samples)
		if err != nil {
			n.Unreadable++
			return
		}
		samples, measured = decoded, measured[:0]
		for _, sample := range samples {
			if signal := i.books.signal(table.Table, sample.Signal); s.selects(signal, sample) {
				measured = append(measured, Measured{signal, sample})
			}
		}
		n.Lines += uint64(len(measured))
		if len(measured) > 0 {
			visit(measured)
		}
	})
	n.Thinned, n.Unreadable = c.thinned, n.Unreadable+c.lost
	return n, err
}
