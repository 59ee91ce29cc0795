package modbus

import "time"

// Demand is what a device asks of its endpoint.
type Demand struct {
	Requests  float64 // a second
	Registers float64 // a second, those that nobody asked for included
	// Busy is the part of the time for which frames and silences take the line, of 1;
	// 0 where there is none. The time that the device takes to answer comes on top.
	Busy float64
}

// Demand is that of the plan, as long as the device refuses nothing of it. It is
// valid for a device that has been checked.
func (d Device) Demand() Demand {
	e, err := ParseEndpoint(d.Endpoint)
	if err != nil {
		return Demand{}
	}
	m := newMeter(d, e)
	var registers int
	var busy time.Duration
	reader := m.newReader()
	requests := append(reader.requests, reader.scales.again...)
	for _, r := range requests {
		registers += (r.bytes() + 1) / 2
		busy += e.Line.Takes(requestSize+rtuExtra+2+r.bytes()) + 2*e.Line.silence()
	}
	a := 1 / m.PollEvery.Seconds()
	demand := Demand{Requests: a * float64(len(requests)), Registers: a * float64(registers)}
	if e.Transport != TCP {
		demand.Busy = a * busy.Seconds()
	}
	return demand
}

// requestSize is that of a read on a line: unit, function, address, count,
// checksum.
const requestSize = 8
