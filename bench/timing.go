package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"ufm/internal/hardware"
	"ufm/moe"
	"ufm/pager"
)

// timingRows are the rows an expert at which the kernels are measured. They work through
// rows in fours and eights, so that time grows in steps there.
var timingRows = []int{1, 2, 4, 5, 8, 9, 12, 16, 17, 32, 64, 128}

const (
	timingExperts = 8 // of a step
	timingBank    = 256 << 20
	timingFor     = 10 * time.Millisecond  // of each measurement
	timingRounds  = 2                      // of all measurements: what else runs comes and goes
	timingMost    = 400 * time.Millisecond // a step that takes longer ends its series
)

// MeasureTiming runs b's own kernels with everything resident and times them: what the
// simulator's clock needs besides the ceilings. It takes some seconds.
func MeasureTiming(ctx context.Context, b moe.Backend) (*hardware.Timing, error) {
	t := &hardware.Timing{Copies: copiesOf(b)}
	if t.Copies == hardware.ByCores {
		t.Cores = runtime.GOMAXPROCS(0)
	}
	shape := moe.Shape{Layers: 1, Experts: timingExperts, TopK: 1, DModel: 2048, DHidden: 8192}
	unified := b.Device().Unified
	if unified {
		shape.DModel, shape.DHidden = 1024, 1024 // a CPU
	}
	if err := timeLayer(ctx, b, shape, t); err != nil {
		return nil, fmt.Errorf("bench: measure layers of %s: %w", b.Device().Name, err)
	}
	for shape.DType = range moe.BF16 + 1 {
		if unified { // each step has other experts than the last, or they would lie in caches
			shape.Experts = max(timingExperts, int(timingBank/shape.ExpertBytes()))
			t.BankBytes = timingBank
		}
		rates, err := timeExperts(ctx, b, shape)
		if err != nil {
			return nil, fmt.Errorf("bench: measure %s experts of %s: %w",
				shape.DType, b.Device().Name, err)
		}
		if t.Copies == hardware.ByCores {
			if err := timeBeside(ctx, b, shape, rates); err != nil {
				return nil, fmt.Errorf("bench: measure %s experts beside copies: %w", shape.DType, err)
			}
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
// many, with few experts to choose from, and with more choices a token.
func timeLayer(ctx context.Context, b moe.Backend, s moe.Shape, t *hardware.Timing) error {
	const many, few, choices = 512, 8, 4
	layers := func(experts, topK int) (one, all moe.StepTimes, err error) {
		s.Experts, s.TopK = experts, topK
		times, err := timeSteps(ctx, b, small(s), [][2]int{{1, 1}, {many, experts}})
		if err == nil {
			one, all = times[0], times[1]
		}
		return one, all, err
	}
	one, all, err := layers(hardware.TimedExperts, 1)
	if err != nil {
		return err
	}
	_, fewer, err := layers(few, 1)
	if err != nil {
		return err
	}
	_, more, err := layers(hardware.TimedExperts, choices)
	if err != nil {
		return err
	}
	perToken := func(d time.Duration) float64 {
		return max(0, microseconds(d)/(many*float64(s.DModel)/1000))
	}
	t.LayerUs, t.StepUs = microseconds(one.Compute), microseconds(one.Wall-one.Compute)
	t.TokenUs = perToken(all.Compute - one.Compute)
	t.GateUs = perToken(all.Compute-fewer.Compute) / (hardware.TimedExperts - few)
	t.ChoiceUs = perToken(more.Compute-all.Compute) / (choices - 1)
	return nil
}

// small is the shape with experts that are next to nothing.
func small(s moe.Shape) moe.Shape {
	s.DHidden = 8
	return s
}

// timeExperts measures one storage type: what layers take longer than with experts that
// are next to nothing.
func timeExperts(
	ctx context.Context, b moe.Backend, s moe.Shape,
) (rates []hardware.ExpertRate, err error) {
	var steps [][2]int
	for _, rows := range timingRows {
		steps = append(steps, [2]int{rows * timingExperts, timingExperts}, [2]int{rows, 1})
	}
	times, err := timeSteps(ctx, b, s, steps)
	if err != nil {
		return nil, err
	}
	layers, err := timeSteps(ctx, b, small(s), steps[:len(times)])
	if err != nil {
		return nil, err
	}
	times = times[:min(len(times), len(layers))] // either series may end early
	rate := func(i, experts int) float64 {
		took := max(times[i].Compute-layers[i].Compute, times[i].Compute/10)
		return float64(s.ExpertBytes()) * float64(experts) / float64(took)
	}
	for i, rows := range timingRows[:len(times)/2] {
		rates = append(rates, hardware.ExpertRate{
			DType: s.DType.String(), Rows: float64(rows),
			GBs: rate(2*i, timingExperts), OneGBs: rate(2*i+1, 1),
		})
	}
	return rates, nil
}

// timeSteps times steps of so many tokens that go to so many experts. One that takes too
// long ends the series with its pair.
func timeSteps(
	ctx context.Context, b moe.Backend, s moe.Shape, steps [][2]int,
) (times []moe.StepTimes, err error) {
	most := 0
	for _, step := range steps {
		most = max(most, step[0])
	}
	r, err := newTimed(ctx, b, s, most)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for round := range timingRounds {
		if err := heat(ctx, b); err != nil {
			return nil, err
		}
		for i, step := range steps {
			if round == 0 && i%2 == 0 && i > 0 && times[i-2].Compute > timingMost {
				steps = steps[:i]
				break
			}
			took, err := r.step(ctx, step[0], step[1])
			if err != nil {
				return nil, err
			}
			if round == 0 {
				times = append(times, took)
			} else if took.Compute < times[i].Compute {
				times[i] = took
			}
		}
	}
	return times, nil
}

// timed runs steps whose routing it chooses.
type timed struct {
	shape  moe.Shape
	first  int // expert of the next step
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
	r := &timed{shape: s, runner: runner}
	if r.bank, err = b.NewBank(ctx, model, nil); err == nil {
		err = runner.Attach(ctx, r.bank)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *timed) close() error {
	err := r.runner.Close()
	if r.bank != nil {
		err = errors.Join(err, r.bank.Close())
	}
	return err
}

// step times a step whose tokens go to so many experts in turn: the fastest of a few, each
// with other experts than the one before.
func (r *timed) step(ctx context.Context, tokens, experts int) (best moe.StepTimes, err error) {
	r.batch = moe.Batch{
		Tokens: tokens, Phase: pager.Prefill, Routing: make([]uint32, tokens*r.shape.TopK),
		Input: moe.SyntheticInput(tokens, r.shape.DModel, 1),
	}
	var start time.Time
	for n := -1; n < 1 || n < 200 && time.Since(start) < timingFor; n++ {
		if n == 0 {
			start = time.Now() // the step before warmed up: kernels may be compiled late
		}
		if err := ctx.Err(); err != nil {
			return best, err
		}
		r.batch.Step = r.next
		r.next++
		r.route(experts)
		times, err := r.runner.Step(ctx, &r.batch)
		if err != nil {
			return best, err
		}
		r.batch.Input = nil
		if !times.Timed {
			times.Compute = times.Wall
		}
		if n == 0 || n > 0 && times.Compute < best.Compute {
			best = times
		}
		if n >= 0 && times.Compute > timingMost {
			break
		}
	}
	return best, nil
}

// route sends the batch's choices to so many experts in turn, or to each token's top-k
// neighbours where that is more.
func (r *timed) route(experts int) {
	all := r.shape.Experts
	for i := range r.batch.Routing {
		token, choice := i/r.shape.TopK, i%r.shape.TopK
		r.batch.Routing[i] = uint32((r.first + token%experts + choice) % all)
	}
	r.first = (r.first + experts) % all
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
