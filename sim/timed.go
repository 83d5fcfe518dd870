package sim

import (
	"fmt"

	"ufm/internal/hardware"
	"ufm/internal/trace"
	"ufm/pager"
)

// GroupTokens counts the tokens that are routed in each group that Groups returns.
func GroupTokens(t *trace.Trace) []int32 {
	var tokens []int32
	first := 0
	for _, size := range t.StepSizes {
		for layer := range t.Layers {
			n := int32(0)
			for token := first; token < first+int(size); token++ {
				if t.Row(token, layer)[0] >= 0 {
					n++
				}
			}
			if n > 0 {
				tokens = append(tokens, n)
			}
		}
		first += int(size)
	}
	return tokens
}

// GroupRows counts the tokens that chose each expert of each group that Groups returns.
func GroupRows(t *trace.Trace) []int32 {
	var rows []int32
	count := make([]int32, t.Experts)
	first := 0
	for _, size := range t.StepSizes {
		for layer := range t.Layers {
			for token := first; token < first+int(size); token++ {
				for _, e := range t.Row(token, layer) {
					if e >= 0 {
						count[e]++
					}
				}
			}
			for e, n := range count {
				if n > 0 {
					rows = append(rows, n)
					count[e] = 0
				}
			}
		}
		first += int(size)
	}
	return rows
}

// requestTimed is requestAll with a clock, with prefetches, or with both. It returns the
// counts as they were before the group from which on is counted.
func requestTimed(
	p *pager.Pager, groups []pager.Group, opts *Options, c *clock,
) (before pager.Stats, err error) {
	var ahead []pager.ExpertID
	rows := opts.Rows
	for i, g := range groups {
		if i == opts.From {
			before = p.Stats()
			if c != nil {
				c.reset()
			}
		}
		var own []int32
		if rows != nil {
			own, rows = rows[:len(g.Experts)], rows[len(g.Experts):]
		}
		if err := request(p, g, opts, i, own, c); err != nil {
			return before, fmt.Errorf("sim: group %d: %w", i, err)
		}
		if opts.Prefetch != nil {
			if ahead = opts.Prefetch.after(i, ahead[:0]); len(ahead) > 0 {
				if err := p.Prefetch(ahead); err != nil {
					return before, fmt.Errorf("sim: prefetch after group %d: %w", i, err)
				}
			}
		}
		if c != nil {
			c.sleep()
		}
	}
	if opts.From == len(groups) {
		before = p.Stats()
	}
	return before, nil
}

// request asks for one group and lets the time of its work pass. rows are its experts'.
func request(
	p *pager.Pager, g pager.Group, opts *Options, i int, rows []int32, c *clock,
) error {
	if c == nil {
		_, err := p.Request(g)
		return err
	}
	tokens := 1.0
	if opts.Tokens != nil {
		tokens = float64(opts.Tokens[i])
	}
	topK, experts := float64(p.Shape().TopK), float64(p.Shape().Experts)
	c.begin(g, tokens*topK, rows, p.Full())
	plan, err := p.Request(g)
	if err != nil {
		return err
	}
	tail := c.layer + tokens*max(0, c.token+experts*c.gate+max(0, topK-1)*c.choice)
	switch {
	case opts.Order == pager.Ascending:
		c.published(g.Layer, plan, tail)
	case c.copies == hardware.ByCores:
		c.shared(g.Layer, plan, tail)
	default:
		c.group(g.Layer, plan, tail)
	}
	return nil
}

// reset forgets the times so far; it begins a step.
func (c *clock) reset() {
	c.endStep()
	c.times = Times{Stall: make([]float64, len(c.times.Stall))}
}

// fillPool brings every expert to its slot before time begins.
func fillPool(p *pager.Pager, c *clock) error {
	all := make([]pager.ExpertID, p.Shape().Universe())
	for e := range all {
		all[e] = pager.ExpertID(e)
	}
	if err := p.Prefetch(all); err != nil {
		return err
	}
	if !p.Full() {
		return fmt.Errorf("sim: %d slots cannot hold all %d experts", p.Slots(), len(all))
	}
	if c != nil {
		c.rewind()
	}
	return nil
}
