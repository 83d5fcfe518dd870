//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// bank is a model's experts in host memory, in blocks of many. Copy engines read a block
// directly if the driver allocated it or took it as an import; what it will not pin goes
// through staging buffers.
type bank struct {
	backend  *backend
	model    moe.Model
	each     int64 // bytes of an expert
	perBlock int
	blocks   []*block
	full     bool  // experts fill every byte: nothing need be zero before
	ring     *ring // nil: nothing is staged

	pinning sync.Mutex // of the fields below
	pinned  int64      // bytes that copy engines read
	why     error      // what ended pinning
}

// block is a piece of a bank.
type block struct {
	bytes  []byte        // (perBlock or fewer, each)
	ready  chan struct{} // closed once bytes are there
	left   atomic.Int32  // experts that are still to be filled
	buffer *vk.Buffer    // what copy engines read, or nil
	own    mapping       // the memory if the driver did not allocate it
}

// hold is how the block is held, once it is filled.
func (b *block) hold() Hold {
	switch {
	case b.buffer == nil:
		return Staged
	case b.own == nil:
		return Allocated
	}
	return Imported
}

// NewBank fills the host bank, all cores at once: blocks that are there while others are
// still being allocated.
func (b *backend) NewBank(ctx context.Context, m moe.Model, progress func(int64)) (moe.Bank, error) {
	s := m.Shape()
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if err := moe.CheckHostMemory(s.BankBytes()); err != nil {
		return nil, err
	}
	k := newBank(b, m)
	// First of all, while the driver still has memory for it.
	var err error
	if k.ring, err = newRing(b.device, min(b.stageBytes, s.BankBytes())); err != nil {
		return nil, memoryError(err)
	}
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return k.allocate(ctx) })
	work.Go(func() error {
		fill := func(e pager.ExpertID) error { return k.fill(ctx, e) }
		return moe.FillBank(ctx, s, runtime.GOMAXPROCS(0), fill, progress)
	})
	if err := work.Wait(); err != nil {
		return nil, errors.Join(fmt.Errorf("vulkan: fill bank: %w", err), k.Close())
	}
	if k.Held()[Staged] == 0 {
		if err := k.ring.Close(); err != nil {
			return nil, errors.Join(err, k.Close())
		}
		k.ring = nil
	}
	return k, nil
}

// newBank divides a model into blocks, which have no memory yet.
func newBank(b *backend, m moe.Model) *bank {
	s, l := m.Shape(), moe.NewLayout(m.Shape())
	end := l.Down + int64(s.DModel)*int64(s.DHidden)*int64(s.DType.Size())
	k := &bank{
		backend: b, model: m, each: l.Bytes, perBlock: max(1, int(b.blockBytes/l.Bytes)),
		full: l.In == s.DModel && l.Hidden == s.DHidden && l.Bytes == end,
	}
	for left := s.Paging().Universe(); left > 0; left -= k.perBlock {
		piece := &block{ready: make(chan struct{})}
		piece.left.Store(int32(min(left, k.perBlock)))
		k.blocks = append(k.blocks, piece)
	}
	return k
}

// allocate gives every block memory: the driver's as long as it has any, then the host's.
func (k *bank) allocate(ctx context.Context) error {
	hold := k.backend.hold
	for _, b := range k.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		size := int64(b.left.Load()) * k.each
		if hold == Allocated {
			if err := k.pin(size, func() (err error) {
				b.buffer, err = k.driverMemory(size)
				return err
			}); err != nil {
				return err
			}
			if b.buffer == nil {
				hold = Imported
			} else {
				b.bytes = b.buffer.Bytes()
			}
		}
		if b.buffer == nil {
			var err error
			if b.own, err = newMapping(size); err != nil {
				return err
			}
			b.bytes = b.own[:size]
		}
		close(b.ready)
	}
	return nil
}

// driverMemory takes memory of the driver, unless that would leave it none for others.
func (k *bank) driverMemory(size int64) (*vk.Buffer, error) {
	const spare = 256 << 20
	d := k.backend.device
	if free := d.HostMemoryFree(); size > free-min(spare, free/4) {
		return nil, fmt.Errorf("the driver has %s of host memory left", humanize.IBytes(uint64(free)))
	}
	return d.NewBuffer(vk.HostCached, size, "the bank")
}

// pin runs what makes so many bytes readable by copy engines. A refusal, by the driver or by
// the limit, is kept but is no error.
func (k *bank) pin(size int64, try func() error) error {
	k.pinning.Lock()
	defer k.pinning.Unlock()
	if limit := k.backend.pinLimit; limit > 0 && k.pinned+size > limit {
		k.why = fmt.Errorf("the limit is %s", humanize.IBytes(uint64(limit)))
		return nil
	}
	if err := try(); err != nil {
		k.why = err
		if k.backend.device.Lost() {
			return err
		}
		return nil
	}
	k.pinned += size
	return nil
}

// fill writes an expert where it belongs. The last one of a block has it imported: pages
// that are touched by all cores are pinned faster than those that are not there.
func (k *bank) fill(ctx context.Context, e pager.ExpertID) error {
	b := k.blocks[int(e)/k.perBlock]
	select {
	case <-b.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	dst := k.bytes(e)
	if b.own == nil && !k.full {
		clear(dst) // the driver's memory holds anything
	}
	if err := k.model.FillExpert(e, dst); err != nil {
		return err
	}
	if b.left.Add(-1) > 0 || b.own == nil || k.backend.hold == Staged {
		return nil
	}
	err := k.pin(int64(len(b.bytes)), func() (err error) {
		b.buffer, err = k.backend.device.ImportBuffer(b.own, "the bank")
		return err
	})
	if err != nil || b.buffer != nil || !k.backend.anyHold {
		return err
	}
	return k.move(b)
}

// move brings a filled block that the device does not import to the driver's memory, if there
// is any: staging it would cost every upload more than this.
func (k *bank) move(b *block) error {
	var buffer *vk.Buffer
	err := k.pin(int64(len(b.bytes)), func() (err error) {
		buffer, err = k.driverMemory(int64(len(b.bytes)))
		return err
	})
	if err != nil || buffer == nil {
		return err
	}
	copy(buffer.Bytes(), b.bytes)
	own := b.own
	b.buffer, b.bytes, b.own = buffer, buffer.Bytes(), nil
	return own.Close()
}

// bytes is the host's view of an expert.
func (k *bank) bytes(e pager.ExpertID) []byte {
	b, at := k.blocks[int(e)/k.perBlock], int64(int(e)%k.perBlock)*k.each
	return b.bytes[at:][:k.each:k.each]
}

// at tells where copy engines read an expert; false if they do not.
func (k *bank) at(e pager.ExpertID) (place, bool) {
	b := k.blocks[int(e)/k.perBlock]
	return place{b.buffer, int64(int(e)%k.perBlock) * k.each}, b.buffer != nil
}

// Model is what the bank was filled from.
func (k *bank) Model() moe.Model { return k.model }

// HostBytes is the host memory that the bank takes, with what stages it.
func (k *bank) HostBytes() int64 { return k.model.Shape().BankBytes() + k.ring.size() }

// Held is the bytes that are held in each way.
func (k *bank) Held() (held [Staged + 1]int64) {
	for _, b := range k.blocks {
		held[b.hold()] += int64(len(b.bytes))
	}
	return held
}

// Describe says how the bank is held, and why not better.
func (k *bank) Describe() string {
	var parts []string
	for h, n := range k.Held() {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", humanize.IBytes(uint64(n)), Hold(h)))
		}
	}
	text := strings.Join(parts, ", ")
	if k.why != nil {
		text += fmt.Sprintf(" (%v)", k.why)
	}
	return text
}

// Close frees the bank, unless the device may still read it.
func (k *bank) Close() error {
	if k.backend.stuck {
		return errStuck
	}
	errs := []error{k.ring.Close()}
	for _, b := range k.blocks {
		if b.buffer != nil {
			errs = append(errs, b.buffer.Close())
		}
		if b.own != nil {
			errs = append(errs, b.own.Close())
		}
	}
	k.blocks = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("vulkan: close bank: %w", err)
	}
	return nil
}
