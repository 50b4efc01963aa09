package cli

import "time"

// Moment is how a time is printed for people.
func Moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }
