package moe

import (
	"sync/atomic"
	"time"

	"ufm/pager"
)

// cpuPool is the slots of a runner, the backend's "device memory".
type cpuPool struct {
	size   int64  // of one expert
	memory []byte // (slots, size)
	bank   *cpuBank
	poison bool

	// Copies may run in the background.
	moved  atomic.Int64 // bytes, both ways
	copies atomic.Int64 // nanoseconds
}

func newCPUPool(s Shape, slots int, poison bool) *cpuPool {
	size := s.ExpertBytes()
	p := &cpuPool{size: size, memory: newMemory(int64(slots) * size), poison: poison}
	clear(p.memory) // writing makes the host take the pages, so that a bank is not promised them
	return p
}

func (p *cpuPool) slot(s pager.Slot) []byte {
	return p.memory[int64(s)*p.size:][:p.size:p.size]
}

// upload copies an expert from the bank into a slot.
func (p *cpuPool) upload(e pager.ExpertID, s pager.Slot) {
	start := time.Now()
	slot := p.slot(s)
	if p.poison {
		fillNaN(slot)
	}
	p.moved.Add(int64(copy(slot, p.bank.expert(e))))
	p.copies.Add(int64(time.Since(start)))
}

// download copies a slot to host memory.
func (p *cpuPool) download(dst []byte, s pager.Slot) {
	start := time.Now()
	p.moved.Add(int64(copy(dst, p.slot(s))))
	p.copies.Add(int64(time.Since(start)))
}

// resident is an expert together with the slot that holds it.
func (p *cpuPool) resident(e pager.ExpertID, s pager.Slot) resident {
	return resident{expert: e, data: p.slot(s)}
}

// fillNaN makes every value of b, which is not empty, a NaN in any storage type.
func fillNaN(b []byte) {
	b[0] = 0xff
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}
