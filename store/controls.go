package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// MaxControls is how many controls are kept. Each broker holds them all in memory.
const MaxControls = 10_000

// ErrTooManyControls: MaxControls are in force or ended lately.
var ErrTooManyControls = fmt.Errorf("there are %d controls already", MaxControls)

// The keys of the controls are in the slot of the catalogue, so that Status is one
// round trip.
func (s *Store) controlsKey() string        { return s.prefix + "{catalogue}controls" }
func (s *Store) controlsVersionKey() string { return s.prefix + "{catalogue}controls:version" }

// ErrControlChanged: somebody else has set or ended the control meanwhile.
var ErrControlChanged = errors.New("the control was changed by somebody else meanwhile")

// SetControl keeps a control in place of the one for the same target, and changes
// Status.Controls, in one atomic step. Its times and now are by the clock of
// Status.Now. Controls that ended broker.ControlMemory before now are forgotten. over, unless it is nil, must still be what Controls has
// for the target (zero: none), else it returns ErrControlChanged. It returns
// ErrTooManyControls when there is no room. Nothing is changed with an error of
// these.
func (s *Store) SetControl(ctx context.Context, c broker.Control, now time.Time, over *broker.Control) error {
	if err := c.Target.Validate(); err != nil {
		return err
	}
	record, err := encodeControl(c)
	if err != nil {
		return fmt.Errorf("set control: %w", err)
	}
	compare, expected := "0", ""
	if over != nil {
		compare = "1"
		if over.Target == c.Target {
			if expected, err = encodeControl(*over); err != nil {
				return fmt.Errorf("set control: %w", err)
			}
		}
	}
	// Random, because a number may come twice: with a failover goes the last change.
	reply, err := s.control.Run(ctx, s.client, []string{s.controlsKey(), s.controlsVersionKey()}, c.Target.String(),
		record, rand.Text(), MaxControls, now.Add(-broker.ControlMemory).UnixMilli(), compare, expected).StringSlice()
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

// encodeControl returns the record of a control, its end before it for the script.
func encodeControl(c broker.Control) (string, error) {
	text, err := json.Marshal(c)
	var end int64
	if !c.Until.IsZero() {
		end = max(c.Until.UnixMilli(), 1)
	}
	return strconv.FormatInt(end, 10) + "|" + string(text), err
}

// Controls returns all controls that are kept. A record that cannot be read counts
// as a block of its target, or of everything when it names none that is known.
func (s *Store) Controls(ctx context.Context) (*broker.Controls, error) {
	records, err := s.client.HGetAll(ctx, s.controlsKey()).Result()
	if err != nil {
		return nil, fmt.Errorf("read controls: %w", err)
	}
	list := make([]broker.Control, 0, len(records))
	for name, record := range records {
		list = append(list, decodeControl(name, record))
	}
	return broker.NewControls(list), nil
}

func decodeControl(name, record string) broker.Control {
	target, err := broker.ParseControlTarget(name)
	if err != nil {
		target = broker.ControlTarget{Scope: broker.ScopeEverything}
	}
	var c broker.Control
	_, text, _ := strings.Cut(record, "|")
	if json.Unmarshal([]byte(text), &c) != nil || c.Target != target {
		return broker.Control{Target: target, Note: fmt.Sprintf("the record %q in the store is damaged: HDEL it there", name)}
	}
	return c
}
