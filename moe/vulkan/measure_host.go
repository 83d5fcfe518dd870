//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"slices"
	"time"

	"ufm/internal/hardware"
	"ufm/internal/share"
	"ufm/moe"
	"ufm/pager"
)

// hostCosts times the host's side of paged layers, on the runner's own code, with experts that
// are next to nothing. It takes about a second, most of it compiling and rests.
func (b *backend) hostCosts(ctx context.Context, c *hardware.Ceilings) (err error) {
	h, err := b.newHostTimer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	c.Host = new(hardware.HostCosts)
	if c.Host.LayerUs, err = h.layer(ctx); err != nil {
		return err
	}
	if c.Host.ResidentUs, err = h.residentLayer(ctx); err != nil {
		return err
	}
	if err = h.pieces(ctx, c.Host); err != nil || b.CopyQueues() == 0 {
		return err
	}
	c.CopyWaitUs, err = h.copyWait(ctx)
	return err
}

const (
	hostLayers  = 2
	hostExperts = 64 // of a layer: a step takes each of them once
	hostTopK    = 8
	hostTokens  = hostExperts / hostTopK // so few that little has to be compiled
	hostRepeats = 15                     // of which the median counts
)

// How long the host rests before it is timed, about as long as it has waited for the device in
// a real step: for a layer that was there, and for one that had to come or a whole step. What it
// records then lies in no cache any more: on an H100's host pieces took 1.5 to 2 times as long
// as in a loop.
const (
	layerRest = time.Millisecond
	longRest  = 5 * time.Millisecond
)

// hostTimer is a runner in whose pool there is a slot for every expert.
type hostTimer struct {
	*runner
	held  moe.Bank
	batch moe.Batch
}

func (b *backend) newHostTimer(ctx context.Context) (*hostTimer, error) {
	s := moe.Shape{
		Layers: hostLayers, Experts: hostExperts, DModel: 64, DHidden: 8, TopK: hostTopK,
		DType: moe.BF16,
	}
	model, err := moe.NewSynthetic(s, 1)
	if err != nil {
		return nil, err
	}
	r, err := b.NewRunner(moe.RunConfig{
		Shape: s, Mode: moe.UFM, MaxTokens: hostTokens, Slots: s.Paging().Universe(),
	})
	if err != nil {
		return nil, err
	}
	h := &hostTimer{runner: r.(*runner)}
	if h.held, err = b.NewBank(ctx, model, nil); err == nil {
		err = r.Attach(ctx, h.held)
	}
	if err == nil {
		err = h.fill(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// fill brings every expert to the device: the choices of a layer's tokens are all of them.
func (h *hostTimer) fill(ctx context.Context) error {
	h.batch = moe.Batch{
		Tokens: hostTokens, Phase: pager.Prefill,
		Input:   moe.SyntheticInput(hostTokens, h.cfg.Shape.DModel, 1),
		Routing: make([]uint32, hostLayers*hostExperts),
	}
	for i := range h.batch.Routing {
		h.batch.Routing[i] = uint32(i % hostExperts)
	}
	_, err := h.Step(ctx, &h.batch)
	h.batch.Input = nil
	return err
}

func (h *hostTimer) close() error {
	err := h.runner.Close()
	if h.held != nil {
		err = errors.Join(err, h.held.Close())
	}
	return err
}

// layer is what a layer with nothing missing takes the host, from the device's end of the one
// before to its next beginning, in microseconds: 0 where the device's own time is not known.
func (h *hostTimer) layer(ctx context.Context) (float64, error) {
	return medianAfter(layerRest, func() (float64, error) {
		h.batch.Step++
		h.startTimes()
		start := time.Now()
		if err := h.stepPaged(ctx, &h.batch); err != nil || !h.times.Timed {
			return 0, err
		}
		return microseconds(time.Since(start)-h.times.Compute) / (hostLayers + 1), nil
	})
}

// residentLayer is what a layer of a step with everything resident takes the host: recorded
// before the step, and told to the pager after it.
func (h *hostTimer) residentLayer(ctx context.Context) (float64, error) {
	if !h.resident() {
		return 0, errors.New("vulkan: measurement: not all experts are on the device")
	}
	return medianAfter(longRest, func() (float64, error) {
		c, err := h.compute.begin(false)
		if err != nil {
			return 0, err
		}
		start := time.Now()
		h.recordResident(c, &h.batch)
		took := time.Since(start)
		value := h.schedule.next()
		if err := errors.Join(h.compute.end(c, value), h.finish(ctx, value)); err != nil {
			return 0, err
		}
		h.batch.Step++
		start = time.Now()
		err = h.requestAll(&h.batch)
		return microseconds(took+time.Since(start)) / hostLayers, err
	})
}

// pieces tells what one more upload, compute and copied expert cost from groups that differ
// in just that.
func (h *hostTimer) pieces(ctx context.Context, c *hardware.HostCosts) error {
	const few, many = hostExperts / 8, hostExperts
	base, err := h.misses(ctx, few, 1)
	if err != nil {
		return err
	}
	singly, err := h.misses(ctx, many, 1)
	if err != nil {
		return err
	}
	bundled, err := h.misses(ctx, many, many/few)
	if err != nil {
		return err
	}
	c.UploadUs = max(0, singly.uploads-base.uploads) / (many - few)
	c.ComputeUs = max(0, singly.computes-base.computes) / (many - few)
	c.CopyUs = max(0, bundled.uploads-base.uploads) / (many - few)
	return nil
}

// missTimes is what the host took for a group's uploads and for its computes, in microseconds.
type missTimes struct{ uploads, computes float64 }

// plan has so many misses, which the schedule will bundle by so many: the first layer's experts
// are written once more to where they are.
func (h *hostTimer) plan(misses, bundle int) (p pager.Plan) {
	h.schedule.expertBytes = 2 * chunkBytes / int64(bundle) // else all would be one bundle
	for e := range pager.ExpertID(misses) {
		p.Accesses = append(p.Accesses, h.access(e, pager.NoExpert))
	}
	return p
}

// misses times groups of such a plan.
func (h *hostTimer) misses(ctx context.Context, n, bundle int) (t missTimes, err error) {
	plan := h.plan(n, bundle)
	var uploads, computes []float64
	for range hostRepeats {
		time.Sleep(longRest)
		ops := h.schedule.group(plan)
		start := time.Now()
		if err := h.submitAllUploads(ops); err != nil {
			return t, err
		}
		uploads = append(uploads, microseconds(time.Since(start)))
		start = time.Now()
		if err := h.submitComputes(ops); err != nil {
			return t, err
		}
		computes = append(computes, microseconds(time.Since(start)))
		if err := h.finish(ctx, h.schedule.compute); err != nil {
			return t, err
		}
	}
	return missTimes{median(uploads), median(computes)}, nil
}

// access is one of an expert that is written to where it is.
func (h *hostTimer) access(e, evicted pager.ExpertID) pager.Access {
	slot, _ := h.place.SlotOf(e)
	return pager.Access{Expert: e, Slot: slot, Evicted: evicted}
}

// copyWait is the device's time from the end of the compute that frees a slot to the beginning
// of the copy that waits for it, in microseconds.
func (h *hostTimer) copyWait(ctx context.Context) (float64, error) {
	hit := h.access(0, pager.NoExpert)
	hit.Hit = true
	plan := pager.Plan{Hits: 1, Accesses: []pager.Access{hit, h.access(0, 0)}}
	return medianAfter(longRest, func() (float64, error) {
		ops := h.schedule.group(plan)
		queue := h.transfers[ops[1].queue]
		err := errors.Join(h.submitAllUploads(ops), h.submitComputes(ops))
		if err == nil {
			err = h.await(ctx, h.schedule.compute)
		}
		if err != nil {
			return 0, err
		}
		computed, ok, err := h.compute.times()
		if err != nil || !ok {
			return 0, err
		}
		copied, _, err := queue.times()
		if err != nil {
			return 0, err
		}
		return max(0, float64(int64(copied[0]-computed[1]))/1e3), h.collect()
	})
}

// submitAllUploads records and submits the uploads of a group, as runOps does where there are
// many and they need no staging.
func (h *hostTimer) submitAllUploads(ops []op) error {
	errs := make([]error, len(h.transfers))
	if !h.uploadsBeside() {
		for q := range errs {
			errs[q] = h.submitUploads(ops, q)
		}
		return errors.Join(errs...)
	}
	share.Do(len(errs), func(q int) { errs[q] = h.submitUploads(ops, q) })
	return errors.Join(errs...)
}

// submitComputes records the computes of a group, as runOps does, and submits them.
func (h *hostTimer) submitComputes(ops []op) error {
	return errors.Join(h.recordComputes(ops, &h.batch, 0), h.submitAll())
}

// medianAfter is the median of a few calls, each after a rest.
func medianAfter(rest time.Duration, f func() (float64, error)) (float64, error) {
	var list []float64
	for range hostRepeats {
		time.Sleep(rest)
		v, err := f()
		if err != nil {
			return 0, err
		}
		list = append(list, v)
	}
	return median(list), nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
