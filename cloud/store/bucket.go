package store

import (
	"cmp"
	"math"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// Bucket sums up the samples of one series in a span of time. A sample gives a value
// if it has a finite number and isn't bad; a boolean is 0 or 1.
type Bucket struct {
	Start telemetry.Micros
	// Samples counts all, Good those of good quality, and Valued those that give
	// a value.
	Samples, Good, Valued int64
	// Min, Max, Sum and Last are of the values; 0 if there are none. Last is the
	// one of the greatest time.
	Min, Max, Sum, Last float64
	LastText            string // of samples that aren't bad; empty: there is none

	lastAt, textAt telemetry.Micros
}

// Mean is that of the values; NaN without any.
func (b Bucket) Mean() float64 { return b.Sum / float64(b.Valued) }

// add takes one more sample. Of those of equal time the one added last is the last.
func (b *Bucket) add(s telemetry.Sample) {
	b.Samples++
	validity := s.Quality.Validity()
	if validity == telemetry.Good {
		b.Good++
	}
	if validity == telemetry.Bad {
		return
	}
	v, number := s.Value.Float()
	number = number && v-v == 0
	if !number && s.Value.Kind() != telemetry.Text {
		return
	}
	if !number {
		if b.LastText == "" || s.Time >= b.textAt {
			b.LastText, b.textAt = s.Value.Text(), s.Time
		}
		return
	}
	if b.Valued == 0 {
		b.Min, b.Max, b.lastAt = v, v, s.Time
	}
	if s.Time >= b.lastAt {
		b.Last, b.lastAt = v, s.Time
	}
	b.Min, b.Max = min(b.Min, v), max(b.Max, v)
	b.Sum += v
	b.Valued++
}

// merge takes what a bucket sums up that begins later.
func (b *Bucket) merge(next Bucket) {
	b.Samples += next.Samples
	b.Good += next.Good
	if next.LastText != "" {
		b.LastText = next.LastText
	}
	if next.Valued == 0 {
		return
	}
	if b.Valued == 0 {
		b.Min, b.Max = next.Min, next.Max
	}
	b.Min, b.Max, b.Last = min(b.Min, next.Min), max(b.Max, next.Max), next.Last
	b.Sum += next.Sum
	b.Valued += next.Valued
}

func byStart(a, b Bucket) int { return cmp.Compare(a.Start, b.Start) }

func startsAt(b Bucket, start telemetry.Micros) int { return cmp.Compare(b.Start, start) }

// gather merges buckets, by time, into wider ones that begin at multiples of width.
func gather(buckets []Bucket, width telemetry.Micros) []Bucket {
	var out []Bucket
	for _, b := range buckets {
		start := floor(b.Start, width)
		if n := len(out); n == 0 || out[n-1].Start != start {
			out = append(out, Bucket{Start: start})
		}
		out[len(out)-1].merge(b)
	}
	return out
}

// replace puts a bucket among others, by time, in the place of the one that begins
// with it.
func replace(list []Bucket, b Bucket) []Bucket {
	at, found := slices.BinarySearchFunc(list, b.Start, startsAt)
	if found {
		list[at] = b
		return list
	}
	return slices.Insert(list, at, b)
}

// floor is the last multiple of width that isn't after at; the first instant of all if
// that has none before it.
func floor(at, width telemetry.Micros) telemetry.Micros {
	rest := at % width
	if rest < 0 {
		rest += width
	}
	if at < math.MinInt64+rest {
		return math.MinInt64
	}
	return at - rest
}

// rounded is v to 14 significant digits: what is summed up of decimals is one again,
// which a block stores in a quarter of the bytes.
func rounded(v float64) float64 {
	if v == 0 || v-v != 0 {
		return v
	}
	places := 13 - int(math.Floor(math.Log10(math.Abs(v))))
	if places < 0 || places > 22 {
		return v
	}
	p := math.Pow10(places) // exact
	return math.Round(v*p) / p
}
