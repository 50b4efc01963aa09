package reconcile

import (
	"context"
	"errors"
	"time"
)

// storePauses are waited when the store does not answer: together longer than a
// failover takes.
var storePauses = [...]time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}

// patiently makes a call of the store again while it fails, and returns its last
// error. What the store answered (somebody else's lease, a fence) is no failure.
func (c *Config) patiently(ctx context.Context, call func() error) error {
	for try := 0; ; try++ {
		err := call()
		_, held := errors.AsType[*HeldError](err)
		if err == nil || held || errors.Is(err, ErrFenced) || try == len(storePauses) || c.Wait(ctx, storePauses[try]) != nil {
			return err
		}
	}
}
