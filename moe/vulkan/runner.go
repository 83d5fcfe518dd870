//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// runner runs one model in one mode on a device; it is the pager's Uploader.
type runner struct {
	backend   *backend
	device    *vk.Device
	cfg       moe.RunConfig
	layout    moe.Layout
	place     *moe.Placement
	schedule  *scheduler
	kernels   *kernels
	memory    *memory
	pool      *arena
	bank      *bank
	text      *text // what surrounds the experts of a language model, or nil
	token     *token
	batches   []*batch // of each queue; the compute queue's first
	compute   *recorder
	transfers []*recorder // one a transfer queue, or one on the compute queue

	owned []io.Closer // closed in reverse

	tilesUsed   int // in memory.tiles, since the host last waited
	experts     []pager.ExpertID
	one         bool // the step under way is a single token
	planned     bool // the device plans what is being recorded
	settled     bool // compute waits for no upload any more, as all are resident
	allResident bool // every expert is on the device

	inputs   int  // values of the input that is there
	newInput bool // it is on the host yet
	moved    atomic.Int64
	waits    int
	staged   []pager.Access // scratch of recordUpload
	copies   []span         // uploads of the step under way
	idle     uint64         // since when the compute queue had nothing to do, by its last times
	rounded  bool           // some activations were rounded to 16 bits
	times    moe.StepTimes  // of the step under way
	failed   error          // a step that failed leaves the device in no known state
}

// NewRunner compiles the kernels and takes the pool and the activations.
func (b *backend) NewRunner(cfg moe.RunConfig) (moe.Runner, error) {
	if err := cfg.Shape.Validate(); err != nil {
		return nil, err
	}
	if cfg.MaxTokens < 1 {
		return nil, fmt.Errorf("vulkan: %d tokens a step, want at least 1", cfg.MaxTokens)
	}
	if b.stuck {
		return nil, errStuck
	}
	if err := checkDispatches(b.device.Info(), cfg); err != nil {
		return nil, err
	}
	r := &runner{backend: b, device: b.device, cfg: cfg, layout: moe.NewLayout(cfg.Shape)}
	if err := r.open(b); err != nil {
		return nil, errors.Join(memoryError(err), r.Close())
	}
	return r, nil
}

// open takes the pool first: it is what does not fit, if anything does not.
func (r *runner) open(b *backend) (err error) {
	if r.place, err = moe.NewPlacement(r.cfg, r); err != nil {
		return err
	}
	slots, each := r.place.Slots(), r.layout.Bytes
	if r.pool, err = newArena(r.device, slots, each, r.poolName()); err != nil {
		return err
	}
	r.own(r.pool)
	if r.memory, err = newMemory(r.device, r.cfg, r.inputLayers(), b.matrices); err != nil {
		return err
	}
	r.own(r.memory)
	if r.kernels, err = b.kernelsFor(r.cfg); err != nil {
		return err
	}
	if err = r.openQueues(); err != nil {
		return err
	}
	r.schedule = newScheduler(slots, len(r.transfers), each)
	r.writePlan()
	r.newToken()
	if r.text != nil || r.cfg.MaxTokens > 1 {
		return nil
	}
	return r.readyToken()
}

// readyToken compiles the kernel for a single token of layers alone, unless it is there. Runners
// of more tokens may never need it, and it takes a CPU driver seconds.
func (r *runner) readyToken() error {
	k, s := r.kernels, r.cfg.Shape
	if r.token.pipeline != nil || !r.backend.runsTokens(s, 4, 1, mostInputs) {
		return nil
	}
	if k.token == nil {
		b := builder{device: r.device, kernels: k}
		if k.token = b.token("token_layer", s, 4, 1, mostInputs); b.err != nil {
			return b.err
		}
	}
	r.token.pipeline = k.token
	return r.meet(k)
}

// meet finds out how many workgroups of a token's kernel run side by side, once for the
// kernels. On a CPU driver threads take one workgroup after the other.
func (r *runner) meet(k *kernels) error {
	if err := r.runNow(context.Background(), r.memory.recordMeeting); err != nil {
		return err
	}
	if k.together == 0 && r.device.Info().Kind != cpuKind {
		n, err := r.token.try(func(record func(*vk.Commands)) error {
			return r.runNow(context.Background(), record)
		})
		if err != nil {
			return err
		}
		k.together = n
		if n < 2 {
			k.together = apart // one workgroup would do everything
		}
	}
	r.token.together = max(k.together, 0)
	if r.backend.together != 0 {
		r.token.together = max(r.backend.together, 0)
	}
	return nil
}

// checkToken tells whether the workgroups of a single token's kernel have met. If not, they are
// not relied on any more.
func (r *runner) checkToken() error {
	if !r.one {
		return nil
	}
	err := r.token.check()
	if err != nil {
		r.backend.together = apart
	}
	return err
}

// runNow records one command buffer, submits it and waits for it.
func (r *runner) runNow(ctx context.Context, record func(c *vk.Commands)) error {
	c, err := r.compute.begin(false)
	if err != nil {
		return err
	}
	record(c)
	v := r.schedule.next()
	if err := r.compute.end(c, v); err != nil {
		return err
	}
	return r.finish(context.WithoutCancel(ctx), v)
}

// openQueues makes a recorder for the compute queue and one for each transfer queue.
func (r *runner) openQueues() (err error) {
	computes := &batch{queue: r.device.Compute()}
	r.batches = []*batch{computes}
	if r.compute, err = newRecorder(r.device, computes); err != nil {
		return err
	}
	r.own(r.compute)
	queues := r.device.Transfers()
	for _, q := range queues[:min(len(queues), maxTransfers)] {
		b := computes
		if q != computes.queue {
			b = &batch{queue: q}
			r.batches = append(r.batches, b)
		}
		t, err := newRecorder(r.device, b)
		if err != nil {
			return err
		}
		r.own(t)
		r.transfers = append(r.transfers, t)
	}
	return nil
}

func (r *runner) own(c io.Closer) { r.owned = append(r.owned, c) }

func (r *runner) poolName() string {
	n := r.place.Slots()
	return fmt.Sprintf("a part of the pool of %d experts (%s)", n, humanize.IBytes(uint64(int64(n)*r.layout.Bytes)))
}

// Upload is called by the pager inside Request; the group's plan has the same uploads,
// and with them what they must wait for, so that they are submitted from there. Prefetches
// belong to no plan.
func (r *runner) Upload(uploads []pager.Upload, prefetch bool) error {
	if r.text != nil {
		r.moveSlots(uploads)
	}
	if prefetch {
		return r.uploadAhead(uploads)
	}
	return nil
}

// inputLayers is the number of layers whose input the caller may give at a time.
func (r *runner) inputLayers() int {
	if r.text != nil {
		return 1
	}
	return r.cfg.Shape.Layers
}

// Attach brings the gates, and in Baseline every expert, to the device.
func (r *runner) Attach(ctx context.Context, b moe.Bank) error {
	bank, ok := b.(*bank)
	if !ok || bank.backend != r.backend {
		return errors.New("vulkan: the bank belongs to another backend")
	}
	if bank.model.Shape() != r.cfg.Shape {
		return fmt.Errorf("vulkan: the bank's shape %+v is not the runner's %+v",
			bank.model.Shape(), r.cfg.Shape)
	}
	r.bank = bank
	if bank.ring != nil {
		bank.ring.reset()
		r.schedule.stageBytes = bank.ring.stages[0].buffer.Size()
	}
	if err := r.uploadGates(ctx); err != nil {
		return err
	}
	if r.cfg.Mode == moe.Baseline {
		return r.uploadAll(ctx)
	}
	return nil
}

// uploadGates copies the router weights of all layers, through a staging buffer.
func (r *runner) uploadGates(ctx context.Context) error {
	staging, err := r.device.NewBuffer(vk.HostCoherent, r.memory.gates.Size(), "router weights")
	if err != nil {
		return memoryError(err)
	}
	defer staging.Close()
	s := r.cfg.Shape
	dst := staging.Floats()
	clear(dst)
	for l := range s.Layers {
		gate, err := r.bank.model.Router(l)
		if err != nil {
			return err
		}
		padRows(dst[l*s.Experts*r.layout.In:], gate, s.DModel, r.layout.In)
	}
	return r.runNow(ctx, func(c *vk.Commands) {
		c.Copy(r.memory.gates, 0, staging, 0, staging.Size())
		c.Barrier()
	})
}

// uploadAll fills the pool, slot e with expert e, some hundred megabytes a batch so that
// ctx can end it.
func (r *runner) uploadAll(ctx context.Context) error {
	batch := max(1, int((256<<20)/r.layout.Bytes))
	universe := r.place.Slots()
	for first := 0; first < universe; first += batch {
		var accesses []pager.Access
		for e := first; e < min(first+batch, universe); e++ {
			accesses = append(accesses, pager.Access{Expert: pager.ExpertID(e), Slot: pager.Slot(e)})
		}
		o := r.schedule.prefetch(accesses)
		if err := r.recordUpload(o); err != nil {
			return err
		}
		if err := r.submitAll(); err != nil {
			return err
		}
		t := r.transfers[o.queue]
		if err := t.timeline.Wait(ctx, o.signal); err != nil {
			return err
		}
		t.finished(o.signal)
		if err := t.recycle(); err != nil {
			return err
		}
	}
	r.moved.Store(0)
	return nil
}

// finish submits everything, waits for value v of the compute timeline and takes the times of
// all that has ended. Then every command buffer is the host's again but those of uploads which
// no compute waited for.
func (r *runner) finish(ctx context.Context, v uint64) error {
	if err := r.await(ctx, v); err != nil {
		return err
	}
	return r.collect()
}

// await is finish but for what has just ended, which the next call collects: while the device
// works on the next group.
func (r *runner) await(ctx context.Context, v uint64) error {
	if err := errors.Join(r.submitAll(), r.collect(), r.prepare()); err != nil {
		return err
	}
	r.waits++
	if err := r.compute.timeline.Wait(ctx, v); err != nil {
		return err
	}
	r.compute.finished(v)
	r.tilesUsed = 0
	for _, t := range r.transfers {
		reached, err := t.timeline.Value()
		if err != nil {
			return err
		}
		t.finished(reached)
	}
	return nil
}

// prepare begins as many command buffers as those under way, within reason.
func (r *runner) prepare() error {
	const most = 64
	err := r.compute.prepare(min(r.compute.used, most))
	for _, t := range r.transfers {
		err = errors.Join(err, t.prepare(min(t.used, most)))
	}
	return err
}

// collect takes the times and the command buffers of what the device has finished.
func (r *runner) collect() error {
	if err := r.collectTimes(); err != nil {
		return err
	}
	err := r.compute.recycle()
	for _, t := range r.transfers {
		err = errors.Join(err, t.recycle())
	}
	return err
}

// submitAll sends what has been recorded: uploads first, so that the link starts. A batch that
// fails does not keep the others.
func (r *runner) submitAll() (err error) {
	for _, b := range slices.Backward(r.batches) {
		err = errors.Join(err, b.submit())
	}
	return err
}

// startTimes begins the account of a step.
func (r *runner) startTimes() {
	r.times, r.copies = moe.StepTimes{Timed: true}, r.copies[:0]
}

// Stats counts what the placement decided.
func (r *runner) Stats() pager.Stats { return r.place.Stats() }

// Moved is the bytes of experts copied, both ways together.
func (r *runner) Moved() int64 { return r.moved.Load() }

// DeviceBytes is the device memory that the backend has taken: a runner frees nothing
// before its end.
func (r *runner) DeviceBytes() int64 {
	now, _ := r.device.DeviceMemory()
	return now
}

// Rounded reports whether activations were rounded to 16 bits in any step so far.
func (r *runner) Rounded() bool { return r.rounded }

// closeWait is how long Close waits for work that a failed or interrupted step left.
const closeWait = 30 * time.Second

// Close waits for the device and frees everything. If the device does not finish in time
// it still uses the memory: then nothing is freed, by this backend, ever.
func (r *runner) Close() error {
	if err := r.drain(); err != nil && !r.device.Lost() {
		r.backend.stuck = true
		return fmt.Errorf("vulkan: close: the device is still at work, nothing is freed: %w", err)
	}
	var errs []error
	for _, c := range slices.Backward(r.owned) {
		errs = append(errs, c.Close())
	}
	*r = runner{device: r.device, failed: errors.New("vulkan: runner is closed")}
	return errors.Join(errs...)
}

// drain waits for what was submitted; what was only recorded never runs.
func (r *runner) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	for _, b := range r.batches {
		for _, t := range b.recorders {
			if err := t.timeline.Wait(ctx, t.submitted); err != nil {
				return err
			}
		}
	}
	return nil
}
