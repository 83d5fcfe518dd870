//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"runtime"

	"ufm/internal/share"
	"ufm/pager"
	"ufm/vk"
)

// ring is a few staging buffers, used in turn. One is written again only after the host
// has seen that its copy has ended.
//
//	host    memcpy 0 ─ memcpy 1 ─ memcpy 2 ─ (copy 0 done?) memcpy 0 ─ …
//	                └──► copy 0 ───► copy 1 ───► copy 2 ───► …
type ring struct {
	stages [stages]stage
	next   int
}

// A ring is small, so that what the cores have written is still in their caches when the
// copy engine reads it, and has stages enough that neither waits for the other.
const (
	stages     = 4
	stageBytes = 16 << 20
)

type stage struct {
	buffer *vk.Buffer
	last   *recorder // whose copy read it last, or nil
	value  uint64    // of that recorder's timeline when it had
}

func newRing(d *vk.Device, each int64) (*ring, error) {
	r := new(ring)
	for i := range r.stages {
		b, err := d.NewBuffer(vk.HostCached, each, "staging for the bank")
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		r.stages[i].buffer = b
	}
	return r, nil
}

// reset forgets the copies of a runner that is closed: it has waited for them.
func (r *ring) reset() {
	for i := range r.stages {
		r.stages[i].last = nil
	}
}

// size is the memory that it takes.
func (r *ring) size() (n int64) {
	if r == nil {
		return 0
	}
	for _, s := range r.stages {
		n += s.buffer.Size()
	}
	return n
}

// Close frees the buffers; the device must have finished with them.
func (r *ring) Close() error {
	if r == nil {
		return nil
	}
	var errs []error
	for _, s := range r.stages {
		if s.buffer != nil {
			errs = append(errs, s.buffer.Close())
		}
	}
	return errors.Join(errs...)
}

// recordStaged records copies of experts that copy engines cannot read: their bytes, one
// expert after the other, go through the ring a buffer at a time. Each buffer's copies are
// submitted at once and signal a value of their own. Those of the last one are left in the
// commands that it returns, for the caller to end with o.signal.
func (r *runner) recordStaged(
	c *vk.Commands, o op, staged []pager.Access, wait []vk.Point,
) (*vk.Commands, error) {
	t, ring := r.transfers[o.queue], r.bank.ring
	total, size := int64(len(staged))*r.bank.each, ring.stages[0].buffer.Size()
	value := o.signal - uint64((total+size-1)/size)
	for first := int64(0); ; first += size {
		s := &ring.stages[ring.next]
		ring.next = (ring.next + 1) % stages
		if err := r.waitForStage(s); err != nil {
			return nil, err
		}
		last := min(first+size, total)
		r.bank.gather(s.buffer.Bytes()[:last-first], staged, first)
		cut(r.bank.each, first, last, func(i int, at, n, from int64) {
			slot := r.pool.at(int(staged[i].Slot))
			c.Copy(slot.buffer, slot.offset+at, s.buffer, from, n)
		})
		value++
		s.last, s.value = t, value
		if last == total {
			return c, nil
		}
		err := t.end(c, value, wait...)
		if err == nil {
			err = r.submitAll()
		}
		if err != nil {
			return nil, err
		}
		if c, err = t.begin(false); err != nil {
			return nil, err
		}
	}
}

// waitForStage waits until the copy that read a staging buffer last has ended. It was
// submitted, with all that it waits for itself: the wait is no longer than a few copies.
func (r *runner) waitForStage(s *stage) error {
	if s.last == nil {
		return nil
	}
	reached, err := s.last.timeline.Value()
	if err != nil || reached >= s.value {
		return err
	}
	r.waits++
	return s.last.timeline.Wait(context.Background(), s.value)
}

// gather copies the bytes of some experts, one after the other, from the first on to dst, on
// several cores: one alone is slower than a link.
func (k *bank) gather(dst []byte, experts []pager.Access, first int64) {
	const least = 256 << 10 // worth a goroutine
	threads := max(1, min(runtime.GOMAXPROCS(0), len(dst)/least))
	part := over(len(dst), threads)
	share.Do(over(len(dst), part), func(i int) {
		piece := dst[i*part : min((i+1)*part, len(dst))]
		begin := first + int64(i*part)
		cut(k.each, begin, begin+int64(len(piece)), func(i int, at, n, to int64) {
			copy(piece[to:to+n], k.bytes(experts[i].Expert)[at:])
		})
	})
}

// cut divides the bytes first to last of a row of pieces, each as long: n bytes at offset at
// of piece i are those from offset to on, counted from first.
func cut(each, first, last int64, do func(i int, at, n, to int64)) {
	for p := first; p < last; {
		at := p % each
		n := min(each-at, last-p)
		do(int(p/each), at, n, p-first)
		p += n
	}
}
