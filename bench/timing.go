package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ufm/internal/hardware"
	"ufm/moe"
	"ufm/pager"
)

// timingRows are the rows an expert at which the kernels are measured.
var timingRows = []int{1, 4, 11, 32, 128}

const (
	timingExperts = 8
	timingFor     = 30 * time.Millisecond // of each measurement
	timingMost    = 2 * time.Second       // a step that takes longer ends a storage type's series
)

// MeasureTiming runs b's own kernels with everything resident and times them: what the
// simulator's clock needs besides the ceilings. It takes some seconds.
func MeasureTiming(ctx context.Context, b moe.Backend) (*hardware.Timing, error) {
	t := &hardware.Timing{Copies: copiesOf(b)}
	shape := moe.Shape{Layers: 1, Experts: timingExperts, TopK: 1, DModel: 2048, DHidden: 8192}
	if d := b.Device(); d.Unified {
		shape.DModel, shape.DHidden = 1024, 2048 // 16 MiB an expert: beyond the caches together
	}
	if err := timeLayer(ctx, b, shape, t); err != nil {
		return nil, fmt.Errorf("bench: measure layers of %s: %w", b.Device().Name, err)
	}
	for shape.DType = range moe.BF16 + 1 {
		rates, err := timeExperts(ctx, b, shape, t)
		if err != nil {
			return nil, fmt.Errorf("bench: measure %s experts of %s: %w",
				shape.DType, b.Device().Name, err)
		}
		t.Experts = append(t.Experts, rates...)
	}
	return t, nil
}

// copiesOf tells what runs b's uploads.
func copiesOf(b moe.Backend) hardware.Copies {
	if b.Name() == "cpu" {
		return hardware.ByCores
	}
	if q, ok := b.(interface{ CopyQueues() int }); ok && q.CopyQueues() == 0 {
		return hardware.InTurn
	}
	return hardware.ByQueues
}

// timeLayer measures layers whose experts are next to nothing: with one token and with
// many.
func timeLayer(ctx context.Context, b moe.Backend, s moe.Shape, t *hardware.Timing) error {
	const many = 512
	s.DHidden, s.Experts = 8, 64
	r, err := newTimed(ctx, b, s, many)
	if err != nil {
		return err
	}
	defer r.runner.Close()
	one, err := r.step(ctx, 1, 1)
	if err != nil {
		return err
	}
	all, err := r.step(ctx, many, many)
	if err != nil {
		return errors.Join(err, r.runner.Close())
	}
	t.LayerUs = microseconds(one.Compute)
	t.TokenUs = max(0, microseconds(all.Compute-one.Compute)/many/(float64(s.DModel)/1000))
	t.StepUs = microseconds(one.Wall - one.Compute)
	return nil
}

// timeExperts measures one storage type.
func timeExperts(
	ctx context.Context, b moe.Backend, s moe.Shape, t *hardware.Timing,
) (rates []hardware.ExpertRate, err error) {
	r, err := newTimed(ctx, b, s, timingExperts*slices.Max(timingRows))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.runner.Close()) }()
	for _, rows := range timingRows {
		rate := hardware.ExpertRate{DType: s.DType.String(), Rows: float64(rows)}
		all, err := r.step(ctx, rows*s.Experts, s.Experts)
		if err != nil {
			return nil, err
		}
		single, err := r.step(ctx, rows, 1)
		if err != nil {
			return nil, err
		}
		size := float64(s.ExpertBytes())
		rate.GBs = size * float64(s.Experts) / r.experts(all, rows*s.Experts, t)
		rate.OneGBs = size / r.experts(single, rows, t)
		rates = append(rates, rate)
		if all.Compute > timingMost {
			break
		}
	}
	return rates, nil
}

// timed runs steps whose routing it chooses.
type timed struct {
	shape  moe.Shape
	runner moe.Runner
	bank   moe.Bank
	batch  moe.Batch
	next   int
}

func newTimed(ctx context.Context, b moe.Backend, s moe.Shape, tokens int) (*timed, error) {
	model, err := moe.NewSynthetic(s, 1)
	if err != nil {
		return nil, err
	}
	runner, err := b.NewRunner(moe.RunConfig{Shape: s, Mode: moe.Baseline, MaxTokens: tokens, Slots: s.Experts})
	if err != nil {
		return nil, err
	}
	bank, err := b.NewBank(ctx, model, nil)
	if err == nil {
		err = runner.Attach(ctx, bank)
	}
	if err != nil {
		return nil, errors.Join(err, runner.Close())
	}
	return &timed{shape: s, runner: runner, bank: bank}, nil
}

// step times a step whose tokens go to so many experts in turn: the fastest of a few.
func (r *timed) step(ctx context.Context, tokens, experts int) (best moe.StepTimes, err error) {
	r.batch = moe.Batch{
		Tokens: tokens, Phase: pager.Prefill, Routing: make([]uint32, tokens),
		Input: moe.SyntheticInput(tokens, r.shape.DModel, 1),
	}
	for i := range r.batch.Routing {
		r.batch.Routing[i] = uint32(i % min(experts, r.shape.Experts))
	}
	for n, start := 0, time.Now(); n < 3 || n < 200 && time.Since(start) < timingFor; n++ {
		if err := ctx.Err(); err != nil {
			return best, err
		}
		r.batch.Step = r.next
		r.next++
		times, err := r.runner.Step(ctx, &r.batch)
		if err != nil {
			return best, err
		}
		r.batch.Input = nil
		if !times.Timed {
			times.Compute = times.Wall
		}
		if n == 1 || n > 1 && times.Compute < best.Compute { // the first one warms up
			best = times
		}
		if times.Compute > timingMost {
			return times, nil
		}
	}
	return best, nil
}

// experts is what a step spent on its experts, in nanoseconds.
func (r *timed) experts(times moe.StepTimes, tokens int, t *hardware.Timing) float64 {
	layer := 1e3 * (t.LayerUs + t.TokenUs*float64(tokens*r.shape.DModel)/1000)
	return max(float64(times.Compute)-layer, float64(times.Compute)/10)
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
