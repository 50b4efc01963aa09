package app

import (
	"net/http"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// Unguarded makes a broker without time-outs and breaker in front of Redis.
func Unguarded(o *Options) { o.unguarded = true }

// SetSlots makes a broker work on n clicks at once.
func SetSlots(o *Options, n int) { o.slots = n }

// Unshed makes a broker that takes on whatever comes.
func Unshed(o *Options) { o.slots = -1 }

// SetWall gives a broker another clock of the machine.
func SetWall(o *Options, now func() time.Time) { o.wall = now }

// AnyRotations lets clicks have tokens rotated as often as they like.
func AnyRotations(o *Options) { o.rotations = &broker.Limit{} }

// Handlers are what answers the public and the operators, for tests that need no
// network.
func (b *Broker) Handlers() (public, operators http.Handler) {
	return b.public.Handler, b.operators.Handler
}

// SlotsOf is how many clicks so many cores work on at once.
func SlotsOf(cores int) int { return slotsOf(cores) }
