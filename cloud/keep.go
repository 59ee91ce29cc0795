package cloud

import (
	"github.com/busbar/busbar/cloud/database"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/configfile"
)

// Store is the database, and what is kept in it.
type Store struct {
	database.Config `yaml:",inline"`

	// For how many days what is stored is kept.
	KeepDays KeepDays `yaml:"keep_days"`
}

// KeepDays is for how many days of UTC each level of what is stored is kept, from 1 to
// 36500, or 0, which is for ever. None may be kept for longer than the one that follows
// it. What comes too late for a level still counts in those that are kept.
type KeepDays struct {
	// The samples themselves. Default: 0.
	Samples int `yaml:"samples"`

	// What sums them up by minutes. Default: 0.
	Minutes int `yaml:"minutes"`

	// By quarter-hours. Default: 0.
	QuarterHours int `yaml:"quarter_hours"`

	// By hours. Default: 0.
	Hours int `yaml:"hours"`

	// By days, and what nothing sums up: events of meters that head-ends read, imports,
	// weather, and outages that others reported, once they are over. Default: 0.
	Days int `yaml:"days"`
}

func (k KeepDays) levels() map[string]int {
	return map[string]int{store.Raw: k.Samples, store.Minutes: k.Minutes, store.Quarters: k.QuarterHours, store.Hours: k.Hours, store.Days: k.Days}
}

func (k KeepDays) check(f *configfile.File) {
	names := []string{"samples", "minutes", "quarter_hours", "hours", "days"}
	const ever = 36501
	last := 0
	for i, days := range []int{k.Samples, k.Minutes, k.QuarterHours, k.Hours, k.Days} {
		path := "store.keep_days." + names[i]
		if days < 0 || days >= ever {
			f.Errorf(path, "%d is out of range, expected 0 to %d", days, ever-1)
			return
		}
		if days == 0 {
			days = ever
		}
		if days < last {
			f.Errorf(path, "%d days are less than the %s are kept", days, names[i-1])
		}
		last = days
	}
}
