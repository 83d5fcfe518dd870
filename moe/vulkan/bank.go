//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/dustin/go-humanize"

	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// bank is a model's experts in host memory that the copy engines read directly.
type bank struct {
	backend *backend
	device  *vk.Device
	model   moe.Model
	arena   *arena
}

// NewBank fills the host bank, all cores at once.
func (b *backend) NewBank(ctx context.Context, m moe.Model, progress func(int64)) (moe.Bank, error) {
	s := m.Shape()
	if err := s.Validate(); err != nil {
		return nil, err
	}
	size := s.BankBytes()
	if err := moe.CheckHostMemory(size); err != nil {
		return nil, err
	}
	if free := b.device.HostMemoryFree(); size > free {
		return nil, fmt.Errorf("vulkan: bank of %s: the driver can pin %s of host memory",
			humanize.IBytes(uint64(size)), humanize.IBytes(uint64(free)))
	}
	a, err := newArena(b.device, vk.HostCached, s.Paging().Universe(), s.ExpertBytes(), "the bank")
	if err != nil {
		return nil, err
	}
	bank := &bank{backend: b, device: b.device, model: m, arena: a}
	slot := func(e pager.ExpertID) []byte {
		dst := a.bytes(int(e))
		clear(dst) // the driver's memory holds anything
		return dst
	}
	if err := moe.FillBank(ctx, m, runtime.GOMAXPROCS(0), slot, progress); err != nil {
		return nil, errors.Join(fmt.Errorf("vulkan: fill bank: %w", err), a.Close())
	}
	return bank, nil
}

// Model is what the bank was filled from.
func (b *bank) Model() moe.Model { return b.model }

// HostBytes is the host memory that the bank takes.
func (b *bank) HostBytes() int64 { return b.model.Shape().BankBytes() }

// Close frees the bank, unless the device may still read it.
func (b *bank) Close() error {
	if b.backend.stuck {
		return errStuck
	}
	return b.arena.Close()
}
