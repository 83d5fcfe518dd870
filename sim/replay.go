// Package sim replays routing traces against the paging code that real runs use, and
// checks that a run's event log is what that code decides.
//
//	shape, groups := sim.Groups(t) // of a trace file
//	r, err := sim.Replay(shape, groups, sim.Options{Policy: "nextuse", Slots: 96})
//	fmt.Println(r.Stats.Hits, r.Stats.Uploads)
//
// Nothing is copied: counts, of experts all of them, are exact. With a Machine a virtual
// clock runs beside the pager, and says how long a real backend would have taken:
//
//	host      ─decide─┐submit                       wake┌─decide─
//	compute           └─[hits 1]─[hits 2]···stall···[misses]┘
//	transfer                └─[misses]──────────────┘
//
// That is modeled: docs/simulator.md has it beside measurements. A Sweep replays many
// policies and pools on all cores. Functions may be called concurrently.
package sim

import (
	"fmt"
	"io"

	"ufm/internal/trace"
	"ufm/pager"
)

// Options says how to replay.
type Options struct {
	Policy string      // as pager.NewPolicy takes it, "belady" or "min"; "": nextuse
	Slots  int         // of the pool
	Order  pager.Order // zero: resident-first
	From   int         // first group that is counted; those before it only fill the pool
	Log    io.Writer   // gets the event log, of all groups; nil: none
	Seed   uint64      // for the log's header, and for what is drawn

	// Machine makes the clock run: Result.Times tells what passed on it. Nil: no time.
	Machine *Machine
	// Tokens are those that each group's layer was given; nil: one.
	Tokens []int32
	// Rows are the tokens that chose an expert, of all experts of all groups one after the
	// other; nil: the experts of a group share its tokens' choices equally.
	Rows []int32
	// Resident begins with every expert in the pool, which must have room for all.
	Resident bool
	// Prefetch asks for experts ahead of their groups; nil: nothing does.
	Prefetch Prefetcher
}

// Result is what a replay did.
type Result struct {
	Policy string      // with its parameters
	Slots  int         // that took effect
	Stats  pager.Stats // of the groups from Options.From on
	Times  *Times      // likewise; nil without a Machine
}

// Groups returns the groups of a trace, step by step and layer by layer.
func Groups(t *trace.Trace) (pager.Shape, []pager.Group) {
	var groups []pager.Group
	var experts []pager.ExpertID // of all groups, one after the other
	var ends []int
	for g := range t.Groups() {
		for _, e := range g.Experts {
			experts = append(experts, pager.ExpertID(e))
		}
		ends = append(ends, len(experts))
		groups = append(groups, pager.Group{
			Step: g.Step, Layer: g.Layer, Phase: pager.Phase(g.Phase),
		})
	}
	start := 0
	for i, end := range ends {
		groups[i].Experts = experts[start:end:end]
		start = end
	}
	return pager.Shape{Layers: t.Layers, Experts: t.Experts, TopK: t.TopK}, groups
}

// Replay asks a pager for all groups in turn.
func Replay(shape pager.Shape, groups []pager.Group, opts Options) (Result, error) {
	if opts.From < 0 || opts.From > len(groups) {
		return Result{}, fmt.Errorf("sim: first counted group %d of %d", opts.From, len(groups))
	}
	policy, err := newPolicy(shape, groups, opts)
	if err != nil {
		return Result{}, err
	}
	var log *pager.Log
	observe := func(ev *pager.Event) { log.Observe(ev) }
	if opts.Log == nil {
		observe = nil
	}
	var time *clock
	var uploader pager.Uploader
	if opts.Machine != nil {
		if time, err = newClock(opts.Machine, shape, min(opts.Slots, shape.Universe())); err != nil {
			return Result{}, err
		}
		uploader = time
	}
	p, err := pager.New(pager.Options{
		Shape: shape, Slots: opts.Slots, Policy: policy, Order: opts.Order,
		Uploader: uploader, Observe: observe,
	})
	if err != nil {
		return Result{}, err
	}
	if opts.Log != nil {
		header := p.Header(opts.Seed)
		header.Policy = policyName(opts, policy)
		log = pager.NewLog(opts.Log, header)
	}
	ahead := opts.Prefetch
	if ahead != nil {
		ahead.start(shape, groups, opts.Seed)
	}
	if opts.Resident {
		if err := fillPool(p, time); err != nil {
			return Result{}, err
		}
	}
	var before pager.Stats
	if time == nil && ahead == nil {
		before, err = requestAll(p, groups, opts.From)
	} else {
		before, err = requestTimed(p, groups, &opts, time)
	}
	if err == nil && log != nil {
		err = log.Close()
	}
	r := Result{
		Policy: policyName(opts, policy), Slots: p.Slots(), Stats: p.Stats().Sub(before),
	}
	if time != nil {
		time.endStep()
		r.Times = &time.times
	}
	return r, err
}

func newPolicy(shape pager.Shape, groups []pager.Group, opts Options) (pager.Policy, error) {
	switch opts.Policy {
	case "":
		return pager.NewPolicy(pager.DefaultPolicy, shape, opts.Slots)
	case "lru":
		return pager.NewPolicy("arraylru", shape, opts.Slots) // decides alike, and is faster
	case "belady":
		return pager.NewBelady(shape, groups)
	case "min":
		return newMin(shape, groups)
	}
	return pager.NewPolicy(opts.Policy, shape, opts.Slots)
}

// policyName is what the policy was asked for by, with its parameters.
func policyName(opts Options, policy pager.Policy) string {
	if opts.Policy == "lru" || opts.Policy == "belady" {
		return opts.Policy
	}
	return policy.Name()
}

// newMin makes the exact policy for groups of one.
func newMin(shape pager.Shape, groups []pager.Group) (pager.Policy, error) {
	accesses := make([]pager.ExpertID, len(groups))
	for i, g := range groups {
		if len(g.Experts) != 1 {
			return nil, fmt.Errorf("sim: policy min: group %d has %d experts, "+
				"want single accesses (or policy belady)", i, len(g.Experts))
		}
		accesses[i] = g.Experts[0]
	}
	return pager.NewMin(shape, accesses)
}

// requestAll returns the counts as they were before group from.
func requestAll(p *pager.Pager, groups []pager.Group, from int) (pager.Stats, error) {
	if done, err := p.RequestAll(groups[:from]); err != nil {
		return pager.Stats{}, fmt.Errorf("sim: group %d: %w", done, err)
	}
	before := p.Stats()
	if done, err := p.RequestAll(groups[from:]); err != nil {
		return before, fmt.Errorf("sim: group %d: %w", from+done, err)
	}
	return before, nil
}

// BeladyUploads is the number of uploads that belady makes from group from on, with a
// pool of that many slots that was free before the first group: what was possible for a
// policy that knows all groups and uploads on demand. Its cost is that of a replay.
func BeladyUploads(
	shape pager.Shape, slots int, groups []pager.Group, from int,
) (int64, error) {
	r, err := Replay(shape, groups, Options{Policy: "belady", Slots: slots, From: from})
	return r.Stats.Uploads, err
}
