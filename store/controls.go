package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// MaxControls is how many controls of subscribers and accounts are kept. Each broker
// holds them all in memory.
const MaxControls = 10_000

// controlsReserve is how many controls of servers and apps find room beyond
// MaxControls: whoever has to stop a server must not be kept from it by those.
const controlsReserve = 1000

// ErrTooManyControls: MaxControls are in force or have ended lately.
var ErrTooManyControls = fmt.Errorf("there are %d controls already", MaxControls)

// roomFor returns how many controls may be there before one more of a scope.
func roomFor(scope broker.ControlScope) int {
	switch scope {
	case broker.ScopeEverything:
		return math.MaxInt32 // there is one
	case broker.ScopeServer, broker.ScopeApp:
		return MaxControls + controlsReserve
	}
	return MaxControls
}

// The keys of the controls are in the slot of the catalogue, so that Status is one
// round trip.
func (s *Store) controlsKey() string        { return s.prefix + "{catalogue}controls" }
func (s *Store) controlsVersionKey() string { return s.prefix + "{catalogue}controls:version" }
func (s *Store) controlsEndsKey() string    { return s.prefix + "{catalogue}controls:ends" }

// ErrControlChanged: somebody else has set or ended the control meanwhile.
var ErrControlChanged = errors.New("the control was changed by somebody else meanwhile")

// SetControl keeps a control in place of the one for the same target, and changes
// Status.Controls, in one atomic step. Its times and now are by the clock of
// Status.Now. Controls that ended broker.ControlMemory before now are forgotten.
// over, unless it is nil, must still be what is kept for the target, else
// ErrControlChanged is returned and nothing was done; the damaged records that over
// counts are removed. It returns ErrTooManyControls, and keeps none, when there is no
// room: for one of everything there always is.
func (s *Store) SetControl(ctx context.Context, c broker.Control, now time.Time, over *KeptControl) error {
	if err := c.Validate(); err != nil {
		return err
	}
	record, err := encodeControl(c)
	if err != nil {
		return fmt.Errorf("set control: %w", err)
	}
	compare, expected := "0", ""
	var remove []string
	if over != nil {
		compare, expected, remove = "1", over.record, over.unnamed
	}
	before := now.Add(-broker.ControlMemory)
	set := func(remove []string) error {
		// The version is random, because a number may come twice: with a failover goes
		// the last change.
		args := []any{c.Target.String(), record, rand.Text(), roomFor(c.Target.Scope), before.UnixMilli(), compare, expected}
		for _, text := range remove {
			args = append(args, text)
		}
		return s.runControl(ctx, args)
	}
	err = set(remove)
	if !errors.Is(err, ErrTooManyControls) {
		return err
	}
	// Records that others have written may have ended without being known to.
	forgotten, problem := s.endedControls(ctx, before)
	if problem != nil || len(forgotten) == 0 {
		return errors.Join(problem, err)
	}
	return set(append(slices.Clone(remove), forgotten...))
}

func (s *Store) runControl(ctx context.Context, args []any) error {
	reply, err := s.control.Run(ctx, s.client, []string{s.controlsKey(), s.controlsVersionKey(), s.controlsEndsKey()}, args...).StringSlice()
	switch {
	case err != nil:
		return fmt.Errorf("set control: %w", err)
	case slices.Equal(reply, []string{"ok"}):
		return nil
	case slices.Equal(reply, []string{"changed"}):
		return ErrControlChanged
	case slices.Equal(reply, []string{"full"}):
		return ErrTooManyControls
	}
	return errors.New("set control: Redis answered something that is not known")
}

// forgetAtOnce is how many controls are removed by one call, at most.
const forgetAtOnce = 100

// endedControls returns some targets, each with its record, of controls that ended
// before a time.
func (s *Store) endedControls(ctx context.Context, before time.Time) ([]string, error) {
	all, err := s.controlRecords(ctx)
	if err != nil {
		return nil, err
	}
	var ended []string
	for field, records := range all {
		c, intact := decodeControl(field, records[0])
		if intact && len(records) == 1 && !c.InForce(before) && len(ended) < 2*forgetAtOnce {
			ended = append(ended, field, records[0])
		}
	}
	return ended, nil
}

// encodeControl returns the record of a control, its end before it for the script.
func encodeControl(c broker.Control) (string, error) {
	var end int64
	if !c.Until.IsZero() {
		end = max(c.Until.UnixMilli(), 1)
	}
	var record strings.Builder
	fmt.Fprintf(&record, "%d|", end)
	text := json.NewEncoder(&record)
	text.SetEscapeHTML(false) // six bytes for one
	err := text.Encode(c)
	return strings.TrimSuffix(record.String(), "\n"), err
}
