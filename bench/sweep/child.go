package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"ufm/bench"
	"ufm/internal/hardware"
	"ufm/moe"
)

// Opener gives a child what it runs on.
type Opener struct {
	// Open opens a backend by the names that flags use, with at most limit bytes of
	// device memory if that is not 0.
	Open func(backend, device string, limit int64) (moe.Backend, error)
	// Details tells what else is known of an open backend's device; may be nil.
	Details   func(moe.Backend) any
	OpenTrace func(path string) (*moe.RoutingTrace, error)
}

// Serve is a child: it reads a request from in, runs its cells and writes messages to
// out. Only what leaves the parent without an answer is an error; the end of in is one.
func Serve(ctx context.Context, in io.Reader, out io.Writer, o Opener) error {
	var r request
	d := json.NewDecoder(in)
	if err := d.Decode(&r); err != nil {
		return fmt.Errorf("sweep: request: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		_, err := io.Copy(io.Discard, in)
		cancel(fmt.Errorf("sweep: the sweep that this was a part of is gone (%v)", err))
	}()
	c := &child{request: r, opener: o, out: json.NewEncoder(out)}
	err := c.serve(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

type child struct {
	request
	opener Opener
	mu     sync.Mutex // of out and what follows
	out    *json.Encoder
	told   time.Time // when progress was last sent
	what   string    // that it was about
	steps  []float64 // of the mode that is about to finish
	err    error     // of out
}

func (c *child) serve(ctx context.Context) error {
	limit := int64(0)
	if len(c.Cells) > 0 {
		var err error
		if limit, err = c.Cells[0].memoryLimit(); err != nil {
			return err
		}
	}
	b, err := c.opener.Open(c.Backend, c.Device, limit)
	if err != nil && len(c.Cells) == 0 {
		return err // the parent learns it from the exit status
	}
	if err != nil {
		return c.fail(err)
	}
	if len(c.Cells) == 0 {
		err = c.describe(ctx, b)
	} else {
		err = c.run(ctx, b)
	}
	return errors.Join(err, b.Close(), c.err)
}

// describe tells of the machine, with its ceilings.
func (c *child) describe(ctx context.Context, b moe.Backend) error {
	m := Machine{Backend: b.Name(), Device: b.Device(), Host: thisHost(), Cards: cards()}
	if c.opener.Details != nil {
		m.Details = c.opener.Details(b)
	}
	if c.Ceilings == nil {
		rates, err := c.measure(ctx, b)
		if err != nil {
			c.Note(fmt.Sprintf("no limit will be known: %v", err))
		}
		m.Ceilings = rates
	}
	c.send(message{Machine: &m})
	return nil
}

// measure gives the ceilings kept from before, or measured now. A cache that is not there costs
// only time. On a GPU that is all of them, with its kernels' times, which predictions
// need: seconds there, but up to a minute where the device is the host.
func (c *child) measure(ctx context.Context, b moe.Backend) (hardware.Ceilings, error) {
	cache, _ := hardware.DefaultCache()
	rates, err := bench.Ceilings(ctx, b, cache)
	if err != nil || rates.Timing != nil || b.Device().Unified {
		return rates, err
	}
	all, err := bench.MeasureCeilings(ctx, b, cache)
	if err == nil {
		return all, nil
	}
	c.Note(fmt.Sprintf("no cell will be predicted: %v", err))
	return rates, ctx.Err()
}

func (c *child) run(ctx context.Context, b moe.Backend) error {
	all, err := specs(c.Cells, traceLoader(c.opener.OpenTrace).in(c.Traces))
	if err != nil {
		return c.fail(err)
	}
	for i := range all {
		all[i].RunID = c.RunID
		if c.Ceilings != nil {
			all[i].Ceilings = *c.Ceilings
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lost := &lostWatch{child: c, stop: stop}
	if _, err := bench.Series(ctx, b, all, lost); err != nil && !lost.lost {
		return c.fail(err)
	}
	return nil
}

// fail tells that no cell that is left can run.
func (c *child) fail(err error) error {
	c.send(message{Failed: &failure{Status: bench.StatusOf(err), Error: err.Error()}})
	return nil
}

// lostWatch ends the child with the device: what comes next needs a new process.
type lostWatch struct {
	*child
	stop context.CancelFunc
	lost bool
}

// Finished sends the row.
func (w *lostWatch) Finished(r bench.Row) {
	w.child.Finished(r)
	if r.Status == bench.StatusLost {
		w.lost = true
		w.stop()
	}
}

// Progress is sent a few times a second.
func (c *child) Progress(what string, done, total int64) {
	c.mu.Lock()
	skip := c.what == what && time.Since(c.told) < 200*time.Millisecond
	if !skip {
		c.what, c.told = what, time.Now()
	}
	c.mu.Unlock()
	if !skip {
		c.send(message{Progress: &progress{What: what, Done: done, Total: total}})
	}
}

// Note is sent on.
func (c *child) Note(line string) { c.send(message{Note: line}) }

// Steps come just before their row and go with it.
func (c *child) Steps(_ moe.Mode, ms []float64) { c.steps = ms }

// Finished sends a row.
func (c *child) Finished(r bench.Row) {
	c.send(message{Row: &finished{Row: r, StepMs: c.steps}})
	c.steps = nil
}

func (c *child) send(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = errors.Join(c.err, c.out.Encode(m))
}
