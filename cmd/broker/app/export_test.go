package app

import "net/http"

// Unguarded makes a broker without time-outs and breaker in front of Redis.
func Unguarded(o *Options) { o.unguarded = true }

// SetSlots makes a broker work on n clicks at once.
func SetSlots(o *Options, n int) { o.slots = n }

// Unshed makes a broker that takes on whatever comes.
func Unshed(o *Options) { o.slots = -1 }

// Handlers are what answers the public and the operators, for tests that need no
// network.
func (b *Broker) Handlers() (public, operators http.Handler) {
	return b.public.Handler, b.operators.Handler
}

// SlotsOf is how many clicks so many cores work on at once.
func SlotsOf(cores int) int { return slotsOf(cores) }
