//go:build cgo && linux

package vulkan

import (
	"math"
	"time"

	"ufm/pager"
	"ufm/vk"
)

// poisonWord is NaN in every storage type, twice in those of 16 bits.
const poisonWord = 0xffffffff

// recordUpload records the copies of an upload. Those of different queues may be recorded
// at a time, unless they need staging.
func (r *runner) recordUpload(o op) error {
	accesses, t := o.accesses, r.transfers[o.queue]
	c, err := t.begin(false)
	if err != nil {
		return err
	}
	each := r.layout.Bytes
	if r.cfg.Poison {
		for _, a := range accesses {
			slot := r.pool.at(int(a.Slot))
			c.Fill(slot.buffer, slot.offset, each, poisonWord)
		}
		c.Barrier()
	}
	wait := append(r.transferPoints(o.afterWrite), r.transferPoints(o.afterHalf)...)
	if o.afterRead > 0 {
		wait = append(wait, vk.Point{Timeline: r.compute.timeline, Value: o.afterRead})
	}
	r.moved.Add(int64(len(accesses)) * each)
	if o.half > 0 {
		total := int64(len(accesses)) * each
		middle := total / 2 &^ 255
		r.recordCopies(c, accesses, 0, middle)
		if err := t.end(c, o.half, wait...); err != nil {
			return err
		}
		if c, err = t.begin(false); err != nil {
			return err
		}
		r.recordCopies(c, accesses, middle, total)
		return t.end(c, o.signal)
	}
	staged := r.staged[:0]
	for _, a := range accesses {
		slot := r.pool.at(int(a.Slot))
		if expert, ok := r.bank.at(a.Expert); ok {
			c.Copy(slot.buffer, slot.offset, expert.buffer, expert.offset, each)
		} else {
			staged = append(staged, a)
		}
	}
	if len(staged) == 0 {
		return t.end(c, o.signal, wait...)
	}
	r.staged = staged
	if c, err = r.recordStaged(c, o, staged, wait); err != nil {
		return err
	}
	if err = t.end(c, o.signal, wait...); err != nil {
		return err
	}
	return r.submitAll() // the link need not wait for the next buffer to be filled
}

// recordCopies records the copies of bytes first to last of some experts, one after the other,
// in a bank that copy engines can read.
func (r *runner) recordCopies(c *vk.Commands, accesses []pager.Access, first, last int64) {
	cut(r.bank.each, first, last, func(i int, at, n, _ int64) {
		slot := r.pool.at(int(accesses[i].Slot))
		expert, _ := r.bank.at(accesses[i].Expert)
		c.Copy(slot.buffer, slot.offset+at, expert.buffer, expert.offset+at, n)
	})
}

// transferTimes returns when uploads of the step were under way, as far as they have ended: as
// disjoint spans in order of time. Those of one queue may be known before those that ran beside
// them on the other, so that all of a step are kept.
func (r *runner) transferTimes() ([]span, error) {
	for _, t := range r.transfers {
		stamps, ok, err := t.times()
		if err != nil {
			return nil, err
		}
		r.times.Timed = r.times.Timed && ok
		for i := 0; i < len(stamps); i += 2 {
			r.copies = append(r.copies, span{stamps[i], stamps[i+1]})
		}
	}
	r.copies = union(r.copies)
	return r.copies, nil
}

// collectTimes adds up what the finished command buffers took. A stall is time in which
// the compute queue had nothing to do, an upload was under way, and the next compute was
// that of missing experts.
func (r *runner) collectTimes() error {
	uploads, err := r.transferTimes()
	if err != nil {
		return err
	}
	stamps, ok, err := r.compute.times()
	if err != nil {
		return err
	}
	r.times.Timed = r.times.Timed && ok
	var compute, stall uint64
	for i := 0; i < len(stamps); i += 2 {
		compute += stamps[i+1] - stamps[i]
		if r.compute.at(i / 2).waits {
			stall += overlap(uploads, r.idle, stamps[i])
		}
		r.idle = stamps[i+1]
	}
	r.times.Compute += nanoseconds(compute)
	r.times.Upload = nanoseconds(overlap(uploads, 0, math.MaxUint64))
	r.times.Stall += nanoseconds(stall)
	return nil
}

func nanoseconds(n uint64) time.Duration { return time.Duration(n) * time.Nanosecond }
