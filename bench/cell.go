package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ufm/moe"
	"ufm/pager"
)

// minSteps is how many steps are measured at least, however long they take.
const minSteps = 3

// warmUpSteps run before the window, in every mode the same, so that the windows of all
// modes begin with the same step.
const warmUpSteps = 2

// cell is one mode on its way to a row.
type cell struct {
	*job
	mode     moe.Mode
	policy   pager.Policy // of mode ufm
	runner   moe.Runner
	requests requests
	warmUp   int // groups before the measured window
	window   window
	needed   []int64 // uploads of the best policy, by group of the window; nil before its end
	verdict  judgement
	next     int        // step
	log      *pager.Log // nil: not asked for
	chosen   *chosen    // nil: not asked for
}

// errBank marks what no other mode could do better.
type errBank struct{ error }

func (e errBank) Unwrap() error { return e.error }

// run runs one mode. Its error is one that ends the whole run.
func (j *job) run(ctx context.Context, mode moe.Mode) (Row, error) {
	c := &cell{job: j, mode: mode}
	err := errors.Join(c.measure(ctx), c.closeOutputs())
	if c.runner != nil {
		err = errors.Join(err, c.runner.Close())
	}
	var bank errBank
	if errors.As(err, &bank) {
		return Row{}, bank.error
	}
	row := c.row()
	row.fail(err)
	if o, ok := c.observer.(StepObserver); ok && c.needed != nil {
		o.Steps(mode, c.window.inOrder())
	}
	return row, nil
}

// fail makes err the row's status.
func (r *Row) fail(err error) {
	if err == nil {
		return
	}
	r.Status = StatusOf(err)
	text := err.Error()
	r.Error = &text
}

// StatusOf is the status that an error stands for. Memory is the device's or the host's.
func StatusOf(err error) Status {
	switch {
	case err == nil:
		return StatusOK
	case errors.As(err, new(moe.DeviceLostError)):
		return StatusLost
	case errors.As(err, new(*moe.OutOfMemoryError)), errors.As(err, new(*moe.HostMemoryError)):
		return StatusOOM
	case timedOut(err):
		return StatusTimeout
	default:
		return StatusError
	}
}

// timedOut tells whether err is the end of some wait's time, on the device or elsewhere.
func timedOut(err error) bool {
	var t interface {
		error
		Timeout() bool
	}
	return errors.As(err, &t) && t.Timeout()
}

func (c *cell) measure(ctx context.Context) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if err := c.measureWindow(ctx); err != nil {
		return err
	}
	return c.bound()
}

// open takes device memory first, then builds the bank if no cell has yet.
func (c *cell) open(ctx context.Context) (err error) {
	if c.mode == moe.UFM {
		if c.policy, err = c.Spec.policy(c.slots); err != nil {
			return err
		}
	}
	c.openOutputs()
	c.runner, err = c.backend.NewRunner(moe.RunConfig{
		Shape: c.shape, Mode: c.mode, Slots: c.slots, Policy: c.policy,
		MaxTokens: c.Tokens, Observe: c.observe,
		Exact: c.exact(),
	})
	if err != nil {
		return err
	}
	bank, err := c.bank(ctx)
	if err != nil {
		return errBank{err}
	}
	return c.runner.Attach(ctx, bank)
}

// exact tells whether no activation may be rounded: a recording's were not.
func (c *cell) exact() bool { return c.Activations != nil }

func (c *cell) observe(e *pager.Event) {
	c.requests.observe(e)
	if c.log != nil {
		c.log.Observe(e)
	}
}

// hot is how long a device works before it is measured: an idle GPU takes so long to
// raise its clocks, and a checked step leaves it idle while the host computes.
const hot = 300 * time.Millisecond

// prepare runs the steps before the window: those that are checked against a reference,
// then enough to fill the pool and to let the policy see a step, on a warm device.
func (c *cell) prepare(ctx context.Context) error {
	captures := make([]*moe.Capture, c.check.steps)
	for i := range captures {
		captures[i] = c.check.newCapture()
		if _, err := c.step(ctx, captures[i]); err != nil {
			return err
		}
		c.observer.Progress(c.mode.String()+" check", int64(i+1), int64(len(captures)))
	}
	var err error
	if c.verdict, err = c.check.judge(ctx, c.mode, c.runner, captures); err != nil {
		return err
	}
	if err := heat(ctx, c.backend); err != nil {
		return err
	}
	for c.next < warmUpSteps {
		if _, err := c.step(ctx, nil); err != nil {
			return err
		}
		c.observer.Progress(c.mode.String()+" warm-up", int64(c.next), warmUpSteps)
	}
	return nil
}

// heat keeps the device busy until its clocks are up, if it has clocks that go down. It
// runs no steps, so that the number of steps follows from what was asked for alone.
func heat(ctx context.Context, backend moe.Backend) error {
	if b, ok := backend.(interface {
		Heat(ctx context.Context, d time.Duration) error
	}); ok {
		return b.Heat(ctx, hot)
	}
	return nil
}

// measureWindow runs the steps that the row is about.
func (c *cell) measureWindow(ctx context.Context) error {
	c.warmUp = len(c.requests.groups)
	stats, moved := c.runner.Stats(), c.runner.Moved()
	for start := time.Now(); !c.enough(start); {
		times, err := c.step(ctx, nil)
		if err != nil {
			return err
		}
		c.window.steps = append(c.window.steps, times)
	}
	c.window.stats = c.runner.Stats().Sub(stats)
	c.window.moved = c.runner.Moved() - moved
	c.window.peak, c.window.nvml = c.runner.DeviceBytes(), processMemory()
	return nil
}

// bound replays the requests on the best policy. A resident bank needs no uploads.
func (c *cell) bound() error {
	if c.mode == moe.Baseline {
		c.needed = make([]int64, len(c.requests.groups)-c.warmUp)
		return nil
	}
	needed, err := fewestUploads(c.shape.Paging(), c.slots, c.requests.groups)
	if err != nil {
		return err
	}
	c.needed = needed[c.warmUp:]
	return nil
}

// enough tells whether the window is complete, and the observer how far it is.
func (c *cell) enough(start time.Time) bool {
	done := len(c.window.steps)
	if done >= minSteps && c.requests.full() {
		c.observer.Note(fmt.Sprintf("%s: measured %d steps: what the bound is counted from "+
			"may take no more than %s", c.mode, done, size(maxRequestBytes)))
		return true
	}
	if c.Steps > 0 {
		c.observer.Progress(c.mode.String(), int64(done), int64(c.Steps))
		return done >= c.Steps
	}
	elapsed := time.Since(start)
	c.observer.Progress(c.mode.String(),
		min(elapsed, c.Duration).Milliseconds(), c.Duration.Milliseconds())
	return done >= minSteps && elapsed >= c.Duration
}

// step runs the next step.
func (c *cell) step(ctx context.Context, capture *moe.Capture) (moe.StepTimes, error) {
	if err := ctx.Err(); err != nil {
		return moe.StepTimes{}, err
	}
	b, err := c.feed.next(c.next)
	if err != nil {
		return moe.StepTimes{}, err
	}
	b.Capture = capture
	if c.chosen != nil && capture == nil {
		b.Capture = &c.chosen.step
	}
	times, err := c.runner.Step(ctx, b)
	if err != nil {
		return times, fmt.Errorf("bench: %s: step %d: %w", c.mode, c.next, err)
	}
	if c.chosen != nil {
		c.chosen.add(b)
	}
	c.next++
	return times, nil
}
