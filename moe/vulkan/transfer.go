//go:build cgo && linux

package vulkan

import (
	"cmp"
	"slices"
	"time"

	"ufm/pager"
	"ufm/vk"
)

// poisonWord is NaN in every storage type, twice in those of 16 bits.
const poisonWord = 0xffffffff

// recordUpload records the copies of some accesses.
func (r *runner) recordUpload(o op, accesses []pager.Access) error {
	t := r.transfers[o.queue]
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
	for _, a := range accesses {
		slot, expert := r.pool.at(int(a.Slot)), r.bank.arena.at(int(a.Expert))
		c.Copy(slot.buffer, slot.offset, expert.buffer, expert.offset, each)
	}
	r.moved += int64(len(accesses)) * each
	wait := r.transferPoints(o.afterWrite)
	if o.afterRead > 0 {
		wait = append(wait, vk.Point{Timeline: r.compute.timeline, Value: o.afterRead})
	}
	return t.end(c, o.signal, wait...)
}

// transferTimes returns when the uploads began and how long any of them was under way.
func (r *runner) transferTimes() (begin, busy uint64, err error) {
	r.copies = r.copies[:0]
	for _, t := range r.transfers {
		stamps, ok, err := t.times()
		if err != nil {
			return 0, 0, err
		}
		r.times.Timed = r.times.Timed && ok
		for i := 0; i < len(stamps); i += 2 {
			r.copies = append(r.copies, [2]uint64{stamps[i], stamps[i+1]})
		}
	}
	slices.SortFunc(r.copies, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) })
	var end uint64
	for i, c := range r.copies {
		if i == 0 {
			begin, end = c[0], c[0]
		}
		if c[1] > end {
			busy += c[1] - max(c[0], end)
			end = c[1]
		}
	}
	return begin, busy, nil
}

// collectTimes adds up what the finished command buffers took. A stall is time between
// two computes where the later one waited for an upload.
func (r *runner) collectTimes() error {
	begin, upload, err := r.transferTimes()
	if err != nil {
		return err
	}
	stamps, ok, err := r.compute.times()
	if err != nil {
		return err
	}
	r.times.Timed = r.times.Timed && ok
	var compute, stall uint64
	end := begin
	for i := 0; i < len(stamps); i += 2 {
		compute += stamps[i+1] - stamps[i]
		if r.compute.spans[i/2].waits && end != 0 && stamps[i] > end {
			stall += stamps[i] - end
		}
		end = stamps[i+1]
	}
	r.times.Compute += nanoseconds(compute)
	r.times.Upload += nanoseconds(upload)
	r.times.Stall += nanoseconds(stall)
	return nil
}

func nanoseconds(n uint64) time.Duration { return time.Duration(n) * time.Nanosecond }
