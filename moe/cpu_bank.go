package moe

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"ufm/pager"
)

// HostMemoryError tells that a bank is larger than the memory that the host has
// left. It comes before anything is filled.
type HostMemoryError struct {
	Requested int64
	Available int64
}

func (e *HostMemoryError) Error() string {
	return fmt.Sprintf("moe: bank of %s does not fit the host, which has %s available",
		humanize.IBytes(uint64(e.Requested)), humanize.IBytes(uint64(max(e.Available, 0))))
}

// CheckHostMemory returns a *HostMemoryError if a bank of that size does not fit what
// the host has available. Where the host does not tell, everything fits.
func CheckHostMemory(bytes int64) error {
	if available, known := availableMemory(bytes); known && bytes > available {
		return &HostMemoryError{Requested: bytes, Available: available}
	}
	return nil
}

// availableMemory is what the host has available. If that is less than wanted, what
// this process has dropped but not returned yet is returned first.
func availableMemory(wanted int64) (bytes int64, known bool) {
	_, available := hostMemory()
	if available > 0 && available < wanted {
		debug.FreeOSMemory()
		_, available = hostMemory()
	}
	return available, available > 0
}

// FillBank calls fill for every expert of shape s in ascending order, a goroutine for each
// of threads. progress may be nil. The first error ends it.
func FillBank(ctx context.Context, s Shape, threads int,
	fill func(pager.ExpertID) error, progress func(doneBytes int64)) error {
	universe, size := s.Paging().Universe(), s.ExpertBytes()
	var next, done atomic.Int64
	work, ctx := errgroup.WithContext(ctx)
	for range min(threads, universe) {
		work.Go(func() error {
			for e := next.Add(1) - 1; e < int64(universe); e = next.Add(1) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := fill(pager.ExpertID(e)); err != nil {
					return err
				}
				if d := done.Add(size); progress != nil {
					progress(d)
				}
			}
			return nil
		})
	}
	return work.Wait()
}

// cpuBank holds all experts in one allocation.
type cpuBank struct {
	model Model
	size  int64  // of one expert
	arena []byte // (universe, size)
}

func (b *cpuBackend) NewBank(ctx context.Context, m Model, progress func(int64)) (Bank, error) {
	s := m.Shape()
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if err := b.checkBank(s.BankBytes()); err != nil {
		return nil, err
	}
	bank := &cpuBank{model: m, size: s.ExpertBytes(), arena: newMemory(s.BankBytes())}
	fill := func(e pager.ExpertID) error { return m.FillExpert(e, bank.expert(e)) }
	if err := FillBank(ctx, s, b.threads, fill, progress); err != nil {
		return nil, fmt.Errorf("moe: fill bank: %w", err)
	}
	return bank, nil
}

// checkBank refuses a bank that the host has no memory for beside what is pledged.
func (b *cpuBackend) checkBank(bytes int64) error {
	err := CheckHostMemory(bytes + b.pledged)
	var short *HostMemoryError
	if errors.As(err, &short) {
		return &HostMemoryError{Requested: bytes, Available: short.Available - b.pledged}
	}
	return err
}

func (b *cpuBank) Model() Model { return b.model }

func (b *cpuBank) HostBytes() int64 { return int64(len(b.arena)) }

func (b *cpuBank) Close() error {
	b.arena = nil
	return nil
}

func (b *cpuBank) expert(e pager.ExpertID) []byte {
	return b.arena[int64(e)*b.size:][:b.size:b.size]
}
