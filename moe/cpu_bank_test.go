package moe

import (
	"context"
	"errors"
	"strings"
	"testing"

	"ufm/pager"
)

func TestCPUOutOfMemory(t *testing.T) {
	s := Shape{Layers: 1, Experts: 64, DModel: 64, DHidden: 64, TopK: 1}
	limit := 16 * s.ExpertBytes()
	b := NewCPU(CPUOptions{Threads: 1, MemoryLimit: limit})
	if got := b.Device().MemBytes; got != limit {
		t.Errorf("device memory: got %d, want the limit %d", got, limit)
	}
	none, err := b.NewRunner(RunConfig{Shape: s, Mode: Baseline, MaxTokens: 2})
	var oom *OutOfMemoryError
	if !errors.As(err, &oom) || none != nil {
		t.Fatalf("baseline: got runner %v and %v, want none and out of memory", none, err)
	}
	if oom.Requested <= 64*s.ExpertBytes() || oom.Free != limit {
		t.Errorf("baseline: got %+v, want more than %d requested and %d free",
			oom, 64*s.ExpertBytes(), limit)
	}
	cfg := RunConfig{Shape: s, Mode: UFM, Slots: 8, MaxTokens: 2}
	first, err := b.NewRunner(cfg)
	if err != nil {
		t.Fatalf("8 slots: %v", err)
	}
	if got := first.DeviceBytes(); got < 8*s.ExpertBytes() || got > limit {
		t.Errorf("device bytes: got %d, want %d to %d", got, 8*s.ExpertBytes(), limit)
	}
	if _, err := b.NewRunner(cfg); !errors.As(err, &oom) {
		t.Errorf("8 more slots: got %v, want out of memory", err)
	}
	for range 2 { // closing twice gives memory back once
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.NewRunner(cfg); err != nil {
		t.Errorf("8 slots after a close: %v", err)
	}
	if _, err := b.NewRunner(cfg); !errors.As(err, &oom) {
		t.Errorf("8 more slots after a close: got %v, want out of memory", err)
	}
	huge := Shape{Layers: 1, Experts: 1 << 20, DModel: 1 << 15, DHidden: 1 << 15, TopK: 1}
	_, err = NewCPU(CPUOptions{}).NewRunner(RunConfig{Shape: huge, Mode: Baseline, MaxTokens: 1 << 20})
	if !errors.As(err, &oom) {
		t.Errorf("4 PiB without a limit: got %v, want out of memory", err)
	}
}

// TestCPUBankTooLarge is refused before it is filled.
func TestCPUBankTooLarge(t *testing.T) {
	if _, available := hostMemory(); available == 0 {
		t.Skip("the host does not tell its memory")
	}
	huge := Shape{Layers: 1, Experts: 1 << 20, DModel: 1 << 15, DHidden: 1 << 15, TopK: 1}
	_, err := NewCPU(CPUOptions{}).NewBank(t.Context(), newTestModel(t, huge), nil)
	var tooLarge *HostMemoryError
	if !errors.As(err, &tooLarge) || tooLarge.Requested != huge.BankBytes() {
		t.Fatalf("got %v, want a bank of %d refused", err, huge.BankBytes())
	}
}

// brokenModel fails on one expert.
type brokenModel struct{ Model }

func (m brokenModel) FillExpert(e pager.ExpertID, dst []byte) error {
	if e == 3 {
		return errors.New("tensor broken.weight is not finite")
	}
	return m.Model.FillExpert(e, dst)
}

func TestCPUBank(t *testing.T) {
	s := Shape{Layers: 2, Experts: 3, DModel: 8, DHidden: 8, TopK: 1}
	m, b := newTestModel(t, s), NewCPU(CPUOptions{Threads: 1})
	var done []int64
	bank, err := b.NewBank(t.Context(), m, func(bytes int64) { done = append(done, bytes) })
	if err != nil {
		t.Fatal(err)
	}
	if len(done) != 6 || done[5] != s.BankBytes() || bank.HostBytes() != s.BankBytes() {
		t.Errorf("got progress %v and %d bytes, want 6 reports up to %d",
			done, bank.HostBytes(), s.BankBytes())
	}
	if _, err := b.NewBank(t.Context(), brokenModel{m}, nil); err == nil ||
		!strings.Contains(err.Error(), "broken.weight") {
		t.Errorf("broken model: got %v, want the tensor's name", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.NewBank(ctx, m, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	if err := errors.Join(bank.Close(), bank.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}
