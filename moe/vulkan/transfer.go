//go:build cgo && linux

package vulkan

import (
	"time"

	"ufm/pager"
	"ufm/vk"
)

// poisonWord is NaN in every storage type, twice in those of 16 bits.
const poisonWord = 0xffffffff

// recordUpload records the copies of some accesses. Each transfer queue copies an equal
// share of the bytes, so that both of a device's copy engines bring every expert.
func (r *runner) recordUpload(o op, accesses []pager.Access) error {
	total := int64(len(accesses)) * r.layout.Bytes
	n := int64(len(r.transfers))
	wait := r.transferPoints(o.afterWrite)
	if o.afterRead > 0 {
		wait = append(wait, vk.Point{Timeline: r.compute.timeline, Value: o.afterRead})
	}
	for q, t := range r.transfers {
		c, err := t.begin(false)
		if err != nil {
			return err
		}
		from, to := share(total, int64(q), n), share(total, int64(q)+1, n)
		if r.cfg.Poison {
			r.eachPiece(accesses, from, to, func(dst, _ place, bytes int64) {
				c.Fill(dst.buffer, dst.offset, bytes, poisonWord)
			})
			c.Barrier()
		}
		r.eachPiece(accesses, from, to, func(dst, src place, bytes int64) {
			c.Copy(dst.buffer, dst.offset, src.buffer, src.offset, bytes)
		})
		if err := t.end(c, o.signal, wait...); err != nil {
			return err
		}
	}
	r.moved += total
	return nil
}

// share is where part i of n of total bytes begins, on a 256-byte boundary.
func share(total, i, n int64) int64 { return total / 256 * i / n * 256 }

// eachPiece calls f for every contiguous piece of the accesses' bytes [from, to).
func (r *runner) eachPiece(accesses []pager.Access, from, to int64,
	f func(dst, src place, bytes int64)) {
	each := r.layout.Bytes
	for from < to {
		a := accesses[from/each]
		at := from % each
		n := min(each-at, to-from)
		dst, src := r.pool.at(int(a.Slot)), r.bank.arena.at(int(a.Expert))
		dst.offset += at
		src.offset += at
		f(dst, src, n)
		from += n
	}
}

// collectTimes adds up what the finished command buffers took. A stall is time between
// two computes where the later one waited for an upload.
func (r *runner) collectTimes() error {
	var begin uint64 // of the uploads
	var upload uint64
	for _, t := range r.transfers {
		stamps, ok, err := t.times()
		if err != nil {
			return err
		}
		r.times.Timed = r.times.Timed && ok
		if len(stamps) == 0 {
			continue
		}
		if begin == 0 || stamps[0] < begin {
			begin = stamps[0]
		}
		var busy uint64
		for i := 0; i < len(stamps); i += 2 {
			busy += stamps[i+1] - stamps[i]
		}
		upload = max(upload, busy)
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
