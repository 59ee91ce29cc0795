package oidc

import "time"

// SetClock makes another clock of a Provider's.
func (p *Provider) SetClock(now func() time.Time) { p.now = now }
