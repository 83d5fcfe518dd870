package sim

import (
	"errors"
	"fmt"

	"ufm/internal/trace"
	"ufm/pager"
)

// Accesses returns every single access of a trace: token by token, layer by layer and in
// top-k order, as general cache simulators count.
func Accesses(t *trace.Trace) (pager.Shape, []pager.ExpertID) {
	shape := pager.Shape{Layers: t.Layers, Experts: t.Experts, TopK: t.TopK}
	experts := make([]pager.ExpertID, 0, len(t.Chosen))
	for token := range t.Tokens() {
		for layer := range t.Layers {
			for _, e := range t.Row(token, layer) {
				if e >= 0 { // else the token is not routed in this layer
					experts = append(experts, shape.ID(layer, int(e)))
				}
			}
		}
	}
	return shape, experts
}

// FlatGroups returns Accesses as groups of one expert, with their steps and phases.
func FlatGroups(t *trace.Trace) (pager.Shape, []pager.Group) {
	shape, experts := Accesses(t)
	groups := make([]pager.Group, 0, len(experts))
	token := 0
	for step, size := range t.StepSizes {
		for range size {
			for layer := range t.Layers {
				for _, e := range t.Row(token, layer) {
					if e < 0 {
						continue
					}
					at := len(groups)
					groups = append(groups, pager.Group{
						Step: step, Layer: layer, Phase: pager.Phase(t.Phases[step]),
						Experts: experts[at : at+1 : at+1],
					})
				}
			}
			token++
		}
	}
	return shape, groups
}

// ReplayFlat asks a pager for experts one by one, each a group of its own. It equals
// Replay of such groups, several times as fast; Options.Log is not for it, and
// Options.From counts accesses.
func ReplayFlat(
	shape pager.Shape, accesses []pager.ExpertID, opts Options,
) (Result, error) {
	if opts.Log != nil {
		return Result{}, errors.New("sim: event log of a flat replay: replay FlatGroups instead")
	}
	if opts.From < 0 || opts.From > len(accesses) {
		return Result{}, fmt.Errorf("sim: first counted access %d of %d", opts.From, len(accesses))
	}
	policy, err := newFlatPolicy(shape, accesses, opts)
	if err != nil {
		return Result{}, err
	}
	p, err := pager.New(pager.Options{
		Shape: shape, Slots: opts.Slots, Policy: policy, Order: opts.Order,
	})
	if err != nil {
		return Result{}, err
	}
	if err := p.RequestEach(accesses[:opts.From]); err != nil {
		return Result{}, fmt.Errorf("sim: %w", err)
	}
	before := p.Stats()
	if err := p.RequestEach(accesses[opts.From:]); err != nil {
		return Result{}, fmt.Errorf("sim: %w", err)
	}
	return Result{
		Policy: policyName(opts, policy), Slots: p.Slots(), Stats: p.Stats().Sub(before),
	}, nil
}

// newFlatPolicy has two names for the optimum, which is one on single accesses.
func newFlatPolicy(
	shape pager.Shape, accesses []pager.ExpertID, opts Options,
) (pager.Policy, error) {
	if opts.Policy == "min" || opts.Policy == "belady" {
		return pager.NewMin(shape, accesses)
	}
	return newPolicy(shape, nil, opts)
}
