package load

// Minutes is how many a quarter-hour has.
const Minutes = 15

// Minute is what a customer's power in a minute is of the mean one of its
// quarter-hour, which is the mean of them.
func (l *Loads) Minute(c *Customer, day, slot, minute int) float64 {
	const swing = 0.3
	d := draw{hash(l.seed, c.Number, uint64(day)*Slots+uint64(slot), 8)}
	var sum, this float64
	for m := range Minutes {
		x := d.uniform()
		if sum += x; m == minute {
			this = x
		}
	}
	return 1 + 2*swing*(this-sum/Minutes)
}
