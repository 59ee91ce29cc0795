package etr

import "time"

// Said is an estimate that was given, and what came of the interruption. Durations are from
// its beginning.
type Said struct {
	Age      time.Duration // when it was given
	P50, P80 time.Duration
	Lasted   time.Duration // so far, if it is open
	Open     bool
	Since    time.Duration // how long ago the interruption began
}

// Record is how right estimates were. It counts those whose 80 % are past, whether the
// interruption is over or not: one that is over early is no sooner counted than one that
// isn't, or good ones would come first.
type Record struct {
	Estimates int // that count
	Open      int // of them, those whose interruption still isn't over

	// Coverage50 and Coverage80 are the shares that were over by then; 0.5 and 0.8 are
	// right, and more is too careful. Nil without estimates.
	Coverage50, Coverage80 *float64

	// Pinball50 and Pinball80 are the mean losses in minutes, less is better; of those that
	// are over. Nil without any.
	Pinball50, Pinball80 *float64
}

// RecordOf is that of estimates.
func RecordOf(said []Said) Record {
	var r Record
	var in50, in80, loss50, loss80, over float64
	for _, s := range said {
		if s.Since < s.P80 {
			continue
		}
		r.Estimates++
		if !s.Open && s.Lasted <= s.P50 {
			in50++
		}
		if !s.Open && s.Lasted <= s.P80 {
			in80++
		}
		if s.Open {
			r.Open++
			continue
		}
		over++
		loss50 += Pinball(s.P50, s.Lasted, 0.5)
		loss80 += Pinball(s.P80, s.Lasted, 0.8)
	}
	mean := func(sum, n float64) *float64 {
		if n == 0 {
			return nil
		}
		sum /= n
		return &sum
	}
	n := float64(r.Estimates)
	r.Coverage50, r.Coverage80 = mean(in50, n), mean(in80, n)
	r.Pinball50, r.Pinball80 = mean(loss50, over), mean(loss80, over)
	return r
}

// Pinball is the loss in minutes of having said that a share p is over within said, when it
// took as long as lasted.
func Pinball(said, lasted time.Duration, p float64) float64 {
	off := (lasted - said).Minutes()
	if off >= 0 {
		return p * off
	}
	return (p - 1) * off
}
