//go:build cgo && linux

package vulkan

import (
	"context"

	"ufm/moe"
	"ufm/pager"
)

// runPublished runs a group as the original pager did: ascending, each miss uploaded on
// demand and waited for by the host; compute follows without waiting.
func (r *runner) runPublished(ctx context.Context, b *moe.Batch, l int, p pager.Plan) (uint64, error) {
	ops := r.schedule.singly(p)
	for i, o := range ops {
		if err := r.recordOp(o, b, l, i == len(ops)-1); err != nil {
			return 0, err
		}
		if err := r.submitAll(); err != nil {
			return 0, err
		}
		if !o.upload {
			continue
		}
		r.waits++
		if err := r.transfers[o.queue].timeline.Wait(ctx, o.signal); err != nil {
			return 0, err
		}
	}
	return r.schedule.compute, nil
}

// runNaive copies every expert in for its call and back after it, one at a time, from
// ordinary memory: through a staging buffer, as drivers do for memory that they do not
// own, and with a wait for each of the three pieces of work.
func (r *runner) runNaive(ctx context.Context, b *moe.Batch, l int, p pager.Plan) (uint64, error) {
	slot := r.pool.at(0)
	staging := place{buffer: r.memory.staging}
	for i, a := range p.Accesses {
		expert := r.bank.bytes(a.Expert)
		copy(r.memory.staging.Bytes(), expert)
		if err := r.copyAndWait(ctx, slot, staging); err != nil {
			return 0, err
		}
		c, err := r.compute.begin(true)
		if err != nil {
			return 0, err
		}
		r.recordExperts(c, b, l, p.Accesses[i:i+1])
		c.Barrier()
		v := r.schedule.next()
		if err := r.compute.end(c, v); err != nil {
			return 0, err
		}
		if err := r.submitAndWait(ctx, r.compute, v); err != nil {
			return 0, err
		}
		if err := r.copyAndWait(ctx, staging, slot); err != nil {
			return 0, err
		}
		copy(expert, r.memory.staging.Bytes())
	}
	c, err := r.compute.begin(false)
	if err != nil {
		return 0, err
	}
	r.recordTail(c, b, l)
	v := r.schedule.next()
	return v, r.compute.end(c, v)
}

// copyAndWait copies one expert on the first transfer queue and waits for it.
func (r *runner) copyAndWait(ctx context.Context, dst, src place) error {
	t := r.transfers[0]
	c, err := t.begin(false)
	if err != nil {
		return err
	}
	c.Copy(dst.buffer, dst.offset, src.buffer, src.offset, r.layout.Bytes)
	c.Barrier()
	r.schedule.transfer++
	v := r.schedule.transfer
	if err := t.end(c, v); err != nil {
		return err
	}
	r.moved.Add(r.layout.Bytes)
	return r.submitAndWait(ctx, t, v)
}

func (r *runner) submitAndWait(ctx context.Context, t *recorder, v uint64) error {
	if err := t.batch.submit(); err != nil {
		return err
	}
	r.waits++
	return t.timeline.Wait(ctx, v)
}
