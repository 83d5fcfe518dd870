package bench

import (
	"ufm/internal/trace"
	"ufm/moe"
)

// chosen gathers the experts that a mode's tokens were sent to, from its first step
// on: the trace that its event log belongs to.
type chosen struct {
	shape  moe.Shape
	trace  trace.Trace
	step   moe.Capture // of a step that nothing else captures
	tokens int         // of a step
}

func newChosen(s moe.Shape, model string, tokens int) *chosen {
	return &chosen{
		shape: s, tokens: tokens,
		trace: trace.Trace{Model: model, Layers: s.Layers, Experts: s.Experts, TopK: s.TopK},
		step:  moe.Capture{Experts: make([]uint32, s.Layers*tokens*s.TopK)},
	}
}

// add takes the experts of one step, (layers, tokens, top_k).
func (c *chosen) add(b *moe.Batch) {
	k := c.shape.TopK
	for t := range c.tokens {
		for l := range c.shape.Layers {
			for _, e := range b.Capture.Experts[(l*c.tokens+t)*k:][:k] {
				c.trace.Chosen = append(c.trace.Chosen, int16(e))
			}
		}
	}
	c.trace.StepSizes = append(c.trace.StepSizes, int32(c.tokens))
	c.trace.Phases = append(c.trace.Phases, trace.Phase(b.Phase))
}
