package app

// Unguarded makes a broker without time-outs and breaker in front of Redis.
func Unguarded(o *Options) { o.unguarded = true }
