package sim

import (
	"context"
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
	Seed     uint64
	Progress func(done, total int) // told of each finished cell, not concurrently; may be nil
}

// Source is a trace and what rows call it.
type Source struct {
	Name  string
	Trace *trace.Trace
}

// cell is one row in the making.
type cell struct {
	source *Source
	shape  pager.Shape
	groups []pager.Group
	policy string
	slots  int
}

// Run replays all cells on all cores. The rows come trace by trace, policy by policy,
// ascending in slots, whichever was finished first; after an error, those that were.
// Notes tell what was understood otherwise than it was asked for.
func (s *Sweep) Run(ctx context.Context) (rows []Row, notes []string, err error) {
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
					cells[i].source.Name, cells[i].policy, cells[i].slots, err)
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

// cells lists what is to be replayed, and finds what no cell could run with.
func (s *Sweep) cells() (cells []cell, notes []string, err error) {
	for i := range s.Traces {
		c := cell{source: &s.Traces[i]}
		if s.Flat {
			c.shape, c.groups = FlatGroups(c.source.Trace)
		} else {
			c.shape, c.groups = Groups(c.source.Trace)
		}
		sizes, some, err := ParseSlots(s.Slots, c.shape.Universe())
		if err != nil {
			return nil, nil, err
		}
		for _, note := range some {
			notes = append(notes, c.source.Name+": "+note)
		}
		for _, c.policy = range s.Policies {
			for _, c.slots = range sizes {
				cells = append(cells, c)
			}
		}
	}
	return cells, notes, nil
}

func (s *Sweep) replay(c *cell) (Row, error) {
	r, err := Replay(c.shape, c.groups, replayed(c.policy, c.slots))
	if err != nil {
		return Row{}, err
	}
	row := Row{
		Trace: c.source.Name, Policy: r.Policy, Slots: r.Slots,
		SlotsFraction: float64(r.Slots) / float64(c.shape.Universe()),
		Flat:          s.Flat, Seed: s.Seed,
		Accesses: r.Stats.Accesses, Hits: r.Stats.Hits, Misses: r.Stats.Misses,
		Uploads: r.Stats.Uploads,
	}
	row.HitRate = float64(row.Hits) / float64(row.Accesses)
	if c.policy == Published || c.policy == "lru" {
		row.Policy = c.policy // not the array that decides alike
	}
	return row, nil
}
