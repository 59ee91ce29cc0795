package asdu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Object is an information object: an address, and what is there. Which of its fields
// mean something follows from the type.
type Object struct {
	Address uint32
	// Value is a single point, 0 or 1; a double point, 0 in between, 1 off, 2 on, 3 faulty;
	// a position of -64 to 63; 32 bits as a number; a normalized value, -1 to 1-2⁻¹⁵; a
	// scaled one, -32768 to 32767; a short floating point number, or a total. Of a step
	// command it is 1 lower, 2 higher. Of packed single points, the 16 changes are above the
	// 16 states. Each of them is exact.
	Value   float64
	Quality Quality
	// Qualifier is QOI, QCC, QRP, QPM, QPA or the cause of initialisation; of a command QU
	// or QL without S/E; of a total its sequence number.
	Qualifier uint8
	Select    bool   // of a command: S/E, it is only selected
	Elapsed   uint16 // of protection and of a delay, in ms, 0 to 59999
	Time      Time
}

// Quality is the flags of what is told (7.2.6.1 to 7.2.6.4, 7.2.6.9).
type Quality uint16

const (
	Overflow       Quality = 0x01 // OV
	ElapsedInvalid Quality = 0x08 // EI: Elapsed isn't to be believed
	Blocked        Quality = 0x10 // BL
	Substituted    Quality = 0x20 // SB
	NotTopical     Quality = 0x40 // NT
	Invalid        Quality = 0x80 // IV

	Carry     Quality = 0x100 // CY: a counter has begun again
	Adjusted  Quality = 0x200 // CA: it has been set
	Transient Quality = 0x400 // T: a step position that is being left
)

var qualityNames = []struct {
	flag Quality
	name string
}{{Overflow, "OV"}, {ElapsedInvalid, "EI"}, {Blocked, "BL"}, {Substituted, "SB"}, {NotTopical, "NT"}, {Invalid, "IV"}, {Carry, "CY"}, {Adjusted, "CA"}, {Transient, "T"}}

// String is the flags by their names in the standard, with a space between; "good" if there
// is none.
func (q Quality) String() string {
	text := ""
	for _, n := range qualityNames {
		if q&n.flag != 0 {
			if text != "" {
				text += " "
			}
			text += n.name
		}
	}
	if text == "" {
		return "good"
	}
	return text
}

const (
	fourFlags  = Blocked | Substituted | NotTopical | Invalid
	fiveFlags  = fourFlags | Overflow
	protection = fourFlags | ElapsedInvalid
)

// decode reads an object behind its address. b is as long as the layout says.
func (l *layout) decode(b []byte) (o Object) {
	switch l.element {
	case siq:
		o.Value, o.Quality = float64(b[0]&1), Quality(b[0])&fourFlags
	case diq:
		o.Value, o.Quality = float64(b[0]&3), Quality(b[0])&fourFlags
	case vti:
		o.Value, o.Quality = float64(int8(b[0]<<1)>>1), Quality(b[1])&fiveFlags
		if b[0]&0x80 != 0 {
			o.Quality |= Transient
		}
	case bsi, scd:
		o.Value, o.Quality = float64(binary.LittleEndian.Uint32(b)), Quality(b[4])&fiveFlags
	case nva:
		o.Value, o.Quality = normalized(b), Quality(b[2])&fiveFlags
	case nvaAlone:
		o.Value = normalized(b)
	case sva:
		o.Value, o.Quality = scaled(b), Quality(b[2])&fiveFlags
	case float:
		o.Value, o.Quality = short(b), Quality(b[4])&fiveFlags
	case bcr:
		o.Value = float64(int32(binary.LittleEndian.Uint32(b)))
		o.Qualifier = b[4] & 0x1F
		o.Quality = Quality(b[4])&Invalid | Quality(b[4]&0x60)<<3 // CY and CA
	case sep:
		o.Value, o.Quality = float64(b[0]&3), Quality(b[0])&protection
		o.Elapsed = binary.LittleEndian.Uint16(b[1:])
	case spe, oci:
		o.Value, o.Quality = float64(b[0]), Quality(b[1])&protection
		o.Elapsed = binary.LittleEndian.Uint16(b[2:])
	case sco:
		o.Value = float64(b[0] & 1)
		o.command(b[0])
	case dco, rco:
		o.Value = float64(b[0] & 3)
		o.command(b[0])
	case nvaSet:
		o.Value = normalized(b)
		o.setPoint(b[2])
	case svaSet:
		o.Value = scaled(b)
		o.setPoint(b[2])
	case floatSet:
		o.Value = short(b)
		o.setPoint(b[4])
	case bsiAlone:
		o.Value = float64(binary.LittleEndian.Uint32(b))
	case qualifier, coi:
		o.Qualifier = b[0]
	case pattern, counter:
		o.Value = float64(binary.LittleEndian.Uint16(b))
	case delay:
		o.Elapsed = binary.LittleEndian.Uint16(b)
	case nvaParameter:
		o.Value, o.Qualifier = normalized(b), b[2]
	case svaParameter:
		o.Value, o.Qualifier = scaled(b), b[2]
	case floatParameter:
		o.Value, o.Qualifier = short(b), b[4]
	}
	if o.Elapsed >= 60_000 {
		o.Quality |= ElapsedInvalid
	}
	switch l.time {
	case 3:
		o.Time = time24(b[l.size:])
	case 7:
		o.Time = time56(b[l.size:])
	}
	return o
}

func (o *Object) command(b byte)  { o.Qualifier, o.Select = b>>2&0x1F, b&0x80 != 0 }
func (o *Object) setPoint(b byte) { o.Qualifier, o.Select = b&0x7F, b&0x80 != 0 }

func normalized(b []byte) float64 { return scaled(b) / 32768 }
func scaled(b []byte) float64     { return float64(int16(binary.LittleEndian.Uint16(b))) }
func short(b []byte) float64 {
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
}

// append writes an object behind its address.
func (l *layout) append(b []byte, o Object) ([]byte, error) {
	flags := byte(o.Quality)
	var err error
	whole := func(least, most float64) uint32 {
		if !(o.Value >= least && o.Value <= most) || o.Value != math.Trunc(o.Value) {
			err = fmt.Errorf("%v, expected a whole number of %.0f to %.0f", o.Value, least, most)
			return 0
		}
		return uint32(int64(o.Value))
	}
	fraction := func() uint32 {
		if !(o.Value >= -1 && o.Value < 1) {
			err = fmt.Errorf("%v, expected a number of -1 to below 1", o.Value)
			return 0
		}
		return uint32(int32(min(math.Round(o.Value*32768), 32767)))
	}
	real := func() uint32 {
		if v := math.Abs(o.Value); v > math.MaxFloat32 && !math.IsInf(v, 0) {
			err = fmt.Errorf("%v is beyond what a short floating point number holds", o.Value)
		}
		return math.Float32bits(float32(o.Value))
	}
	limited := func(most uint8) byte {
		if o.Qualifier > most {
			err = fmt.Errorf("qualifier %d, expected at most %d", o.Qualifier, most)
		}
		return o.Qualifier
	}
	command := func() byte { return limited(0x1F)<<2 | bit(o.Select, 0x80) }
	setPoint := func() byte { return limited(0x7F) | bit(o.Select, 0x80) }
	switch l.element {
	case siq:
		b = append(b, byte(whole(0, 1))|flags&byte(fourFlags))
	case diq:
		b = append(b, byte(whole(0, 3))|flags&byte(fourFlags))
	case vti:
		b = append(b, byte(whole(-64, 63))&0x7F|bit(o.Quality&Transient != 0, 0x80), flags&byte(fiveFlags))
	case bsi, scd:
		b = append(appendLE(b, whole(0, math.MaxUint32), 4), flags&byte(fiveFlags))
	case nva:
		b = append(appendLE(b, fraction(), 2), flags&byte(fiveFlags))
	case nvaAlone:
		b = appendLE(b, fraction(), 2)
	case sva:
		b = append(appendLE(b, whole(-32768, 32767), 2), flags&byte(fiveFlags))
	case float:
		b = append(appendLE(b, real(), 4), flags&byte(fiveFlags))
	case bcr:
		b = append(appendLE(b, whole(math.MinInt32, math.MaxInt32), 4), limited(0x1F)|byte(o.Quality&(Carry|Adjusted)>>3)|flags&byte(Invalid))
	case sep:
		b = appendLE(append(b, byte(whole(0, 3))|flags&byte(protection)), uint32(o.Elapsed), 2)
	case spe, oci:
		b = appendLE(append(b, byte(whole(0, 255)), flags&byte(protection)), uint32(o.Elapsed), 2)
	case sco:
		b = append(b, byte(whole(0, 1))|command())
	case dco, rco:
		b = append(b, byte(whole(0, 3))|command())
	case nvaSet:
		b = append(appendLE(b, fraction(), 2), setPoint())
	case svaSet:
		b = append(appendLE(b, whole(-32768, 32767), 2), setPoint())
	case floatSet:
		b = append(appendLE(b, real(), 4), setPoint())
	case bsiAlone:
		b = appendLE(b, whole(0, math.MaxUint32), 4)
	case qualifier, coi:
		b = append(b, o.Qualifier)
	case pattern, counter:
		b = appendLE(b, whole(0, math.MaxUint16), 2)
	case delay:
		b = appendLE(b, uint32(o.Elapsed), 2)
	case nvaParameter:
		b = append(appendLE(b, fraction(), 2), o.Qualifier)
	case svaParameter:
		b = append(appendLE(b, whole(-32768, 32767), 2), o.Qualifier)
	case floatParameter:
		b = append(appendLE(b, real(), 4), o.Qualifier)
	}
	if err == nil && l.time != 0 && o.Time.Form == NoTime {
		err = errors.New("it has no time")
	}
	switch l.time {
	case 3:
		b = o.Time.append24(b)
	case 7:
		b = o.Time.append56(b)
	}
	return b, err
}
