package evidence

// Equipment is what a service point has.
type Equipment struct {
	Metered   bool // a meter that is read
	Auxiliary bool // which has a supply of its own
	Silent    bool // and never answers, for whatever reason
}

// Equip is what the service point with that index in the grid's snapshot has, with that
// seed. It is the same for whoever asks.
func (c Config) Equip(seed uint64, point int) Equipment {
	return Equipment{
		Metered:   chance(seed, drawMetered, point, 0, c.Metered),
		Auxiliary: chance(seed, drawAuxiliary, point, 0, c.Auxiliary),
		Silent:    chance(seed, drawSilent, point, 0, c.Silent),
	}
}
