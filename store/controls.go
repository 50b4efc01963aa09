package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
func (s *Store) controlsEndsKey() string    { return s.prefix + "{catalogue}controls:ends" }

// ErrControlChanged: somebody else has set or ended the control meanwhile.
var ErrControlChanged = errors.New("the control was changed by somebody else meanwhile")

// SetControl keeps a control in place of the one for the same target, and changes
// Status.Controls, in one atomic step. Its times and now are by the clock of
// Status.Now. Controls that ended broker.ControlMemory before now are forgotten. over, unless it is nil, must still be what Controls has
// for the target (zero: none), else it returns ErrControlChanged. It returns
// ErrTooManyControls when there is no room. Nothing is changed with an error of
// these.
func (s *Store) SetControl(ctx context.Context, c broker.Control, now time.Time, over *broker.Control) error {
	if err := c.Validate(); err != nil {
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
	reply, err := s.control.Run(ctx, s.client, []string{s.controlsKey(), s.controlsVersionKey(), s.controlsEndsKey()},
		c.Target.String(), record, rand.Text(), MaxControls, now.Add(-broker.ControlMemory).UnixMilli(), compare, expected).StringSlice()
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

// controlsAtOnce is how many controls are read at once: the longest come in 20 ms
// over 100 Mbit/s, and all MaxControls of that kind in 2 s, which no time-out of the
// client would let pass as one answer. Nor would others want to wait for Redis
// meanwhile.
const controlsAtOnce = 100

// Controls returns all controls that are kept. A record that cannot be read counts
// as a block of its target, or of everything when it names none that is known.
//
// They are read in parts. Those that are there all the time are returned, also when
// others are set meanwhile; of one that is changed, either (of both, the one that
// lasts longer). Status.Controls has changed then, too.
func (s *Store) Controls(ctx context.Context) (*broker.Controls, error) {
	var list []broker.Control
	cursor, source := "0", ""
	for {
		reply, err := s.controls.Run(ctx, s.client, []string{s.controlsKey()}, cursor, controlsAtOnce).StringSlice()
		if err != nil {
			return nil, fmt.Errorf("read controls: %w", err)
		}
		records, last := reply[:max(len(reply)-2, 0)], reply[max(len(reply)-2, 0):]
		if len(last) != 2 || len(records)%2 != 0 {
			return nil, fmt.Errorf("read controls: Redis answered %d values, which is not known", len(reply))
		}
		if source != "" && source != last[1] {
			// Its cursor would mean something else there, and some would be left out.
			return nil, errors.New("read controls: another Redis took over meanwhile; try again")
		}
		for pair := range slices.Chunk(records, 2) {
			list = append(list, decodeControl(pair[0], pair[1]))
		}
		if cursor, source = last[0], last[1]; cursor == "0" {
			return broker.NewControls(list), nil
		}
	}
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
