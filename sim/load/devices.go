package load

import "math"

const latitude = 51 * math.Pi / 180

// weather is a day's, the same for all customers of a seed.
type weather struct {
	cloud   float64 // the part of the light that is left
	warmth  float64 // °C, the mean
	rise    float64 // sin of declination and latitude
	breadth float64 // cos of both
}

func (l *Loads) weather(day int) weather {
	d := draw{hash(l.seed, 0, uint64(day), 3)}
	year := 2 * math.Pi * float64(day) / 365.25
	declination := -23.44 * math.Pi / 180 * math.Cos(year+2*math.Pi*10/365.25)
	return weather{
		cloud:   0.15 + 0.85*math.Sqrt(d.uniform()),
		warmth:  9.5 - 9.5*math.Cos(year-2*math.Pi*20/365.25) + 3*d.normal(),
		rise:    math.Sin(declination) * math.Sin(latitude),
		breadth: math.Cos(declination) * math.Cos(latitude),
	}
}

// sun is the sine of the sun's height at the middle of a slot, at longitude 0,
// or 0 at night.
func (w weather) sun(slot int) float64 {
	return max(0, w.rise-w.breadth*math.Cos(2*math.Pi*(float64(slot)+0.5)/Slots))
}

// temperature is the air's, in °C, warmest at three in the afternoon.
func (w weather) temperature(slot int) float64 {
	return w.warmth - 4*math.Cos(2*math.Pi*(float64(slot)-12)/Slots)
}

// devices adds what doesn't follow a profile: photovoltaics of pv W, a charger of
// ev W, and a heat pump for heat W/K.
func (l *Loads) devices(c *Customer, day int, pv, ev, heat float64, into *Day) {
	w := l.weather(day)
	d := draw{hash(l.seed, c.Number, uint64(day), 4)}
	if heat > 0 {
		for i := range Slots {
			into.Import[i] += float32(heat * max(0, 16-w.temperature(i)) / 3.2 / 4)
		}
	}
	if ev > 0 && d.uniform() < 0.6 {
		slot := int(72 + 6*d.normal()) // about six in the evening
		for left := 4e3 + 16e3*d.uniform(); left > 0 && slot < Slots; slot++ {
			wh := min(left, ev/4)
			left -= wh
			if slot >= 0 {
				into.Import[slot] += float32(wh)
			}
		}
	}
	if pv > 0 {
		for i := range Slots {
			light := w.sun(i)
			if light == 0 {
				continue
			}
			made := float32(pv * 0.85 * light * w.cloud * (0.85 + 0.15*d.uniform()) / 4)
			net := into.Import[i] - made
			into.Import[i], into.Export[i] = max(net, 0), max(-net, 0)
		}
	}
}
