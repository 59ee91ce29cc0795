package load

import "math"

// draw is a row of random numbers (SplitMix64).
type draw struct{ state uint64 }

func (d *draw) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	return mix(d.state)
}

func (d *draw) uniform() float64 { return float64(d.next()>>11) / (1 << 53) }

func (d *draw) below(n int) int { return int(d.next() % uint64(n)) }

func (d *draw) normal() float64 {
	return math.Sqrt(-2*math.Log(1-d.uniform())) * math.Cos(2*math.Pi*d.uniform())
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// hash begins a row of its own for each seed, customer, day and purpose.
func hash(seed, number, day, purpose uint64) uint64 {
	return mix(mix(mix(mix(seed+0x632be59bd9b4e019)^number)+day) ^ purpose<<32 + purpose)
}

// around is a factor near 1 with a deviation of about 0.15, of four 16-bit numbers.
func around(bits uint64) float32 {
	sum := float32(bits&0xffff) + float32(bits>>16&0xffff) + float32(bits>>32&0xffff) + float32(bits>>48)
	return 1 + 0.26*(sum/0xffff-2)
}
