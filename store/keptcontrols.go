package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/latchkey-sso/latchkey/broker"
)

// KeptControl is what the store keeps for one target, as it was read.
type KeptControl struct {
	// Control is the zero one when nothing is kept that can be read.
	Control broker.Control
	// Damaged is how many records cannot be read and count as a block of the target.
	Damaged int

	record  string   // of the target; empty when there is none
	unnamed []string // damaged records of other names, each after its name
}

// KeptControl returns what the store keeps for a target.
func (s *Store) KeptControl(ctx context.Context, t broker.ControlTarget) (KeptControl, error) {
	found, err := s.client.HMGet(ctx, s.controlsKey(), t.String()).Result()
	if err != nil {
		return KeptControl{}, fmt.Errorf("read control: %w", err)
	}
	var kept KeptControl
	if record, there := found[0].(string); there {
		kept.record = record
		if c, intact := decodeControl(t.String(), record); intact {
			kept.Control = c
		} else {
			kept.Damaged++
		}
	}
	if t.Scope != broker.ScopeEverything {
		return kept, nil
	}
	all, err := s.controlRecords(ctx)
	if err != nil {
		return KeptControl{}, err
	}
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if _, known := targetOf(field); !known {
			kept.Damaged++
			kept.unnamed = append(kept.unnamed, field, all[field][len(all[field])-1])
		}
	}
	return kept, nil
}

// Controls returns all controls that are kept. A record that cannot be read counts
// as a block of its target, or of everything when it names none that is known.
//
// They are read in parts. Those that are there all the time are returned, also when
// others are set meanwhile; of one that is changed, either (of both, the one that
// lasts longer). Of a block that is set after one is ended, neither may be returned:
// so what was read is whole only when Status.Controls is the same before and after.
func (s *Store) Controls(ctx context.Context) (*broker.Controls, error) {
	intact, damaged, err := s.ListControls(ctx)
	if err != nil {
		return nil, err
	}
	return broker.NewControls(append(intact.List(), damaged...)), nil
}

// ListControls returns all controls as Controls does, but apart from the blocks that
// damaged records stand for. The note of each of these names the record.
func (s *Store) ListControls(ctx context.Context) (*broker.Controls, []broker.Control, error) {
	all, err := s.controlRecords(ctx)
	if err != nil {
		return nil, nil, err
	}
	var intact, damaged []broker.Control
	for _, field := range slices.Sorted(maps.Keys(all)) {
		for _, record := range all[field] {
			if c, is := decodeControl(field, record); is {
				intact = append(intact, c)
			} else {
				damaged = append(damaged, c)
			}
		}
	}
	return broker.NewControls(intact), damaged, nil
}

// controlsAtOnce and controlBytesAtOnce are how many controls are read at once: as
// many bytes come in 20 ms over 100 Mbit/s, and all MaxControls of the longest kind in
// 2 s, which no time-out of the client would let pass as one answer. Nor would others
// want to wait for Redis meanwhile. Fewer at once would take long where Redis is far.
const (
	controlsAtOnce     = 1000
	controlBytesAtOnce = 256 << 10
)

// controlRecords returns the records of all controls by target; of one that was
// changed while they were read, perhaps two.
func (s *Store) controlRecords(ctx context.Context) (map[string][]string, error) {
	all := map[string][]string{}
	cursor, source := "0", ""
	for {
		reply, err := s.controls.Run(ctx, s.client, []string{s.controlsKey()}, cursor, controlsAtOnce, controlBytesAtOnce).StringSlice()
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
			if !slices.Contains(all[pair[0]], pair[1]) {
				all[pair[0]] = append(all[pair[0]], pair[1])
			}
		}
		if cursor, source = last[0], last[1]; cursor == "0" {
			return all, nil
		}
	}
}

// targetOf returns the target of a record by its name, or everything when that names
// none that is known.
func targetOf(field string) (t broker.ControlTarget, known bool) {
	t, err := broker.ParseControlTarget(field)
	if err != nil || t.String() != field {
		return broker.ControlTarget{Scope: broker.ScopeEverything}, false
	}
	return t, true
}

// decodeControl reads a record. One that is damaged is a block.
func decodeControl(field, record string) (c broker.Control, intact bool) {
	target, known := targetOf(field)
	_, text, _ := strings.Cut(record, "|")
	if !known || json.Unmarshal([]byte(text), &c) != nil || c.Target != target {
		return broker.Control{
			Target: target,
			Note:   fmt.Sprintf("the record %q in the store is damaged: `broker controls allow %s` removes it", field, target),
		}, false
	}
	return c, true
}
