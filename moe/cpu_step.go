package moe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"ufm/pager"
)

func (r *cpuRunner) Step(ctx context.Context, b *Batch) (StepTimes, error) {
	if !r.attached {
		return StepTimes{}, errors.New("moe: step without a bank")
	}
	if err := b.Validate(r.cfg, len(r.given)); err != nil {
		return StepTimes{}, err
	}
	if err := r.keep(b); err != nil {
		return StepTimes{}, err
	}
	times := StepTimes{Timed: true}
	start, copies := time.Now(), r.pool.copies.Load()
	r.setInput(b, 0)
	for l := range r.cfg.Shape.Layers {
		if err := ctx.Err(); err != nil {
			return StepTimes{}, err
		}
		if err := r.layer(b, l, &times); err != nil {
			return StepTimes{}, fmt.Errorf("moe: step %d, layer %d: %w", b.Step, l, err)
		}
		if l+1 == r.cfg.Shape.Layers {
			break
		}
		if b.PerLayer {
			r.setInput(b, l+1)
		} else {
			r.chain(b.Tokens)
		}
	}
	times.Wall = time.Since(start)
	times.Upload = time.Duration(r.pool.copies.Load() - copies)
	return times, nil
}

// layer runs one layer on r.input: router, experts, combine.
func (r *cpuRunner) layer(b *Batch, l int, times *StepTimes) error {
	start := time.Now()
	s, tokens := r.cfg.Shape, b.Tokens
	ids, weights := r.ids[:tokens*s.TopK], r.weights[:tokens*s.TopK]
	r.route(b, l, ids, weights)
	r.group = r.experts.group(l, ids, r.group[:0])
	r.experts.gather(r.group, r.input)
	times.Compute += time.Since(start)

	g := pager.Group{Step: b.Step, Layer: l, Phase: b.Phase, Experts: r.group}
	plan, err := r.place.Request(g)
	if err != nil {
		return err
	}
	r.delivery.start(plan)
	if r.ahead != nil {
		err = r.ahead(b, l)
	}
	times.Stall += r.delivery.finish(plan, func(ready []resident) {
		start := time.Now()
		r.experts.compute(ready)
		times.Compute += time.Since(start)
	})
	if err != nil {
		return err
	}

	start = time.Now()
	each(r.experts.crew(len(ids)*s.DModel), tokens, func(_ *cpuWorker, t int) {
		r.experts.combine(t, weights[t*s.TopK:][:s.TopK], r.output[t*s.DModel:][:s.DModel])
	})
	times.Compute += time.Since(start)
	r.capture(b, l)
	return nil
}

// route fills in the experts of each token and their weights.
func (r *cpuRunner) route(b *Batch, l int, ids []uint32, weights []float32) {
	s, width := r.cfg.Shape, NewLayout(r.cfg.Shape).In
	each(r.experts.crew(b.Tokens*len(r.gates[l])), b.Tokens, func(w *cpuWorker, t int) {
		var replaced []uint32
		if b.Routing != nil {
			replaced = b.Routing[(l*b.Tokens+t)*s.TopK:][:s.TopK]
		}
		Route(s, r.gates[l], r.input[t*width:][:s.DModel], replaced,
			w.logits, ids[t*s.TopK:][:s.TopK], weights[t*s.TopK:][:s.TopK])
	})
}

// keep copies the input of a batch that has one, for later batches that have none. One
// for every layer takes more memory than the runner has booked.
func (r *cpuRunner) keep(b *Batch) error {
	if b.Input == nil {
		return nil
	}
	if more := int64(4 * (len(b.Input) - cap(r.given))); more > 0 {
		if free, known := r.backend.free(more); known && more > free {
			return &OutOfMemoryError{
				What:      fmt.Sprintf("the input of %d tokens for each layer", b.Tokens),
				Requested: more, Free: free,
			}
		}
		r.given = make([]float32, len(b.Input))
		r.bytes += more
		r.backend.used += more
	}
	r.given = append(r.given[:0], b.Input...)
	return nil
}

// setInput takes a layer's input from what was given. The padding of a row stays zero.
func (r *cpuRunner) setInput(b *Batch, l int) {
	d, width := r.cfg.Shape.DModel, NewLayout(r.cfg.Shape).In
	from := r.given[l*b.Tokens*d:]
	for t := range b.Tokens {
		copy(r.input[t*width:][:d], from[t*d:][:d])
	}
}

// chain makes the next layer's input: RMSNorm(input + output).
func (r *cpuRunner) chain(tokens int) {
	d, width := r.cfg.Shape.DModel, NewLayout(r.cfg.Shape).In
	each(r.experts.crew(tokens*d), tokens, func(_ *cpuWorker, t int) {
		x := r.input[t*width:][:d]
		for i, y := range r.output[t*d:][:d] {
			x[i] += y
		}
		scale := float32(1 / math.Sqrt(float64(dot(x, x))/float64(d)+NormEpsilon))
		for i := range x {
			x[i] *= scale
		}
	})
}

// capture copies what was computed in one layer to where the batch wants it.
func (r *cpuRunner) capture(b *Batch, l int) {
	c := b.Capture
	if c == nil {
		return
	}
	s, width := r.cfg.Shape, NewLayout(r.cfg.Shape).In
	values, chosen := b.Tokens*s.DModel, b.Tokens*s.TopK
	if c.Input != nil {
		for t := range b.Tokens {
			copy(c.Input[l*values+t*s.DModel:][:s.DModel], r.input[t*width:])
		}
	}
	if c.Output != nil {
		copy(c.Output[l*values:][:values], r.output)
	}
	if c.Experts != nil {
		copy(c.Experts[l*chosen:][:chosen], r.ids)
	}
	if c.Weights != nil {
		copy(c.Weights[l*chosen:][:chosen], r.weights)
	}
}
