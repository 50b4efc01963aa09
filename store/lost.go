package store

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
)

// ErrDamaged: what Redis keeps under one key is not what a Store writes there. It
// says nothing of the others.
var ErrDamaged = errors.New("its record is damaged")

// Lost reports whether an error of a Store says that Redis is away or cannot work,
// whoever asks and for whatever: it did not answer, or its answer is one that every
// call gets. An answer about one record, or one redemption, is none of those.
func Lost(err error) bool {
	if _, denied := errors.AsType[*broker.DeniedError](err); denied || err == nil {
		return false
	}
	if slices.ContainsFunc([]error{ErrDamaged, ErrNotReplicated, context.Canceled}, func(of error) bool { return errors.Is(err, of) }) {
		return false
	}
	// No script of ours answers nil: it is a Sentinel that knows no such primary.
	answer, answered := errors.AsType[redis.Error](err)
	if !answered || errors.Is(err, redis.Nil) {
		return true
	}
	// Redis 6 tells what a command in a script was answered after where that was.
	inScript := strings.HasPrefix(answer.Error(), "ERR Error running script ")
	return slices.ContainsFunc([]string{
		"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "MISCONF", "OOM", "BUSY",
		"NOAUTH", "WRONGPASS", "NOPERM", "max number of clients reached",
	}, func(prefix string) bool {
		return redis.HasErrorPrefix(err, prefix) || inScript && strings.Contains(answer.Error(), ": -"+prefix+" ")
	})
}
