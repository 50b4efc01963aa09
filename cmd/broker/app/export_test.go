package app

// Unguarded makes a broker without time-outs and breaker in front of Redis.
func Unguarded(o *Options) { o.unguarded = true }

// SetSlots makes a broker work on n clicks at once.
func SetSlots(o *Options, n int) { o.slots = n }

// Unshed makes a broker that takes on whatever comes.
func Unshed(o *Options) { o.slots = -1 }
