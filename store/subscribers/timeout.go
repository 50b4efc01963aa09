package subscribers

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

const (
	// DefaultTimeout bounds one reading of SQL and HTTP sources from its beginning to its
	// last row, with the time that is spent on the rows.
	DefaultTimeout = 5 * time.Minute
	connectTimeout = 10 * time.Second
)

// within returns a context that ends after timeout, or DefaultTimeout when that is
// 0, and says so.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	timeout = cmp.Or(timeout, DefaultTimeout)
	return context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not finished after %s: %w", timeout, context.DeadlineExceeded))
}
