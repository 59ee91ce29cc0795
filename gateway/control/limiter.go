package control

import "time"

// limiter bounds how often something happens in a minute.
type limiter struct {
	most, n int
	from    time.Time
}

func (l *limiter) allow(now time.Time) bool {
	if l.over(now) {
		l.from, l.n = now, 0
	}
	l.n++
	return l.n <= l.most
}

// room is how many more it would allow now.
func (l *limiter) room(now time.Time) int {
	if l.over(now) {
		return l.most
	}
	return l.most - l.n
}

// over reports whether the minute is over.
func (l *limiter) over(now time.Time) bool {
	return now.Sub(l.from) >= time.Minute || now.Before(l.from)
}
