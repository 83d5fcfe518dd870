package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ufm/internal/trace"
	"ufm/pager"
)

// Sweep replays traces with several policies and pool sizes.
type Sweep struct {
	Traces   []Source
	Policies []string // as ParsePolicies returns them
	Slots    string   // as ParseSlots takes it
	Flat     bool     // single accesses instead of groups
	// Curve is the miss-ratio curve of lru on single accesses in place of the policies:
	// at all sizes, in one pass; or, if Slots is not empty, at those.
	Curve    bool
	Prefetch string   // as NewPrefetcher takes it; "": off
	Machine  *Machine // makes the clock run; nil: no time
	Seed     uint64
	Progress func(done, total int) // told of each finished cell, not concurrently; may be nil
}

// Source is a trace and what rows call it.
type Source struct {
	Name  string
	Trace *trace.Trace
}

// Validate lists what is wrong with the sweep, as far as can be told without its traces.
func (s *Sweep) Validate() error {
	var errs []error
	if s.Slots != "" || !s.Curve {
		_, _, err := ParseSlots(s.Slots, 1)
		errs = append(errs, err)
	}
	if s.prefetches() {
		_, err := NewPrefetcher(s.Prefetch, &trace.Trace{Predicted: []int16{}})
		errs = append(errs, err)
		if s.Flat {
			errs = append(errs, errors.New("sim: prefetch: single accesses have none"))
		}
	}
	if s.Machine != nil {
		_, err := s.Machine.speeds()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *Sweep) prefetches() bool { return s.Prefetch != "" && s.Prefetch != "off" }

// workload is a trace as replays take it.
type workload struct {
	*Source
	shape  pager.Shape
	groups []pager.Group
	tokens []int32          // by group; nil where there is no clock
	rows   []int32          // by expert of a group, likewise
	flat   []pager.ExpertID // single accesses in place of groups
}

func (s *Sweep) workload(source *Source) *workload {
	w := &workload{Source: source}
	if s.Flat || s.Curve {
		w.shape, w.flat = Accesses(source.Trace)
		return w
	}
	w.shape, w.groups = Groups(source.Trace)
	if s.Machine != nil {
		w.tokens, w.rows = GroupTokens(source.Trace), GroupRows(source.Trace)
	}
	return w
}

// cell is one row in the making.
type cell struct {
	*workload
	policy string
	slots  int
}

// Run replays all cells on all cores. The rows come trace by trace, policy by policy,
// ascending in slots, whichever was finished first; after an error, those that were.
// Notes tell what was understood otherwise than it was asked for.
func (s *Sweep) Run(ctx context.Context) (rows []Row, notes []string, err error) {
	if err := s.Validate(); err != nil {
		return nil, nil, err
	}
	if s.Curve {
		return s.curves()
	}
	cells, notes, err := s.cells()
	if err != nil {
		return nil, notes, err
	}
	rows = make([]Row, len(cells))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(runtime.GOMAXPROCS(0))
	var done atomic.Int64
	told := make(chan struct{}, 1) // held by who tells of progress
	for i := range cells {
		work.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if rows[i], err = s.replay(&cells[i]); err != nil {
				return fmt.Errorf("sim: %s, %s, %d slots: %w",
					cells[i].Name, cells[i].policy, cells[i].slots, err)
			}
			if s.Progress != nil {
				told <- struct{}{}
				s.Progress(int(done.Add(1)), len(cells))
				<-told
			}
			return nil
		})
	}
	if err = work.Wait(); err != nil {
		rows = slices.DeleteFunc(rows, func(r Row) bool { return r.Accesses == 0 })
	}
	return rows, notes, err
}

// cells lists what is to be replayed.
func (s *Sweep) cells() (cells []cell, notes []string, err error) {
	for i := range s.Traces {
		w := s.workload(&s.Traces[i])
		sizes, some, err := ParseSlots(s.Slots, w.shape.Universe())
		if err != nil {
			return nil, nil, err
		}
		for _, note := range some {
			notes = append(notes, w.Name+": "+note)
		}
		for _, policy := range s.Policies {
			for _, slots := range sizes {
				cells = append(cells, cell{w, policy, slots})
			}
		}
	}
	return cells, notes, nil
}

func (s *Sweep) replay(c *cell) (Row, error) {
	if s.Flat {
		r, err := ReplayFlat(c.shape, c.flat, Options{Policy: c.policy, Slots: c.slots})
		if err != nil {
			return Row{}, err
		}
		row := newRow(c.workload, r.Slots, r.Stats)
		row.Policy, row.Flat, row.Seed = r.Policy, true, s.Seed
		return row, nil
	}
	opts := replayed(c.policy, c.slots)
	opts.Machine, opts.Tokens, opts.Rows, opts.Seed = s.Machine, c.tokens, c.rows, s.Seed
	if s.prefetches() {
		var err error
		if opts.Prefetch, err = NewPrefetcher(s.Prefetch, c.Trace); err != nil {
			return Row{}, err
		}
	}
	r, err := Replay(c.shape, c.groups, opts)
	if err != nil {
		return Row{}, err
	}
	row := newRow(c.workload, r.Slots, r.Stats)
	row.Policy, row.Seed = r.Policy, s.Seed
	if c.policy == Published {
		row.Policy = Published
	}
	if r.Times != nil {
		row.time(r, s.Machine, c.Trace.Tokens())
	}
	return row, nil
}
