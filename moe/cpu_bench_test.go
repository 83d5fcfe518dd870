package moe

import (
	"fmt"
	"runtime"
	"testing"

	"ufm/internal/kernel"
)

// BenchmarkCPUStep is a resident step; bytes are those of the weights read.
func BenchmarkCPUStep(b *testing.B) {
	for dtype := F32; dtype <= BF16; dtype++ {
		for _, tokens := range []int{1, 16} {
			b.Run(fmt.Sprintf("dtype=%s/tokens=%d", dtype, tokens), func(b *testing.B) {
				s := Shape{Layers: 1, Experts: 8, DModel: 1024, DHidden: 2048, TopK: 8, DType: dtype}
				benchmarkStep(b, s, tokens)
			})
		}
	}
}

func benchmarkStep(b *testing.B, s Shape, tokens int) {
	backend := NewCPU(CPUOptions{})
	bank, err := backend.NewBank(b.Context(), newTestModel(b, s), nil)
	if err != nil {
		b.Fatal(err)
	}
	r, err := backend.NewRunner(RunConfig{Shape: s, Mode: Baseline, MaxTokens: tokens})
	if err != nil {
		b.Fatal(err)
	}
	if err := r.Attach(b.Context(), bank); err != nil {
		b.Fatal(err)
	}
	batch := &Batch{Tokens: tokens, Input: SyntheticInput(tokens, s.DModel, 1)}
	b.SetBytes(int64(s.Experts) * s.ExpertBytes())
	for b.Loop() {
		if _, err := r.Step(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	flops := float64(s.ExpertFlops()) * float64(tokens*s.TopK) * float64(b.N)
	b.ReportMetric(flops/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// BenchmarkExperts is both products of experts that have so many rows each; bytes are
// those of the weights read, which no cache holds.
func BenchmarkExperts(b *testing.B) {
	for dtype := F32; dtype <= BF16; dtype++ {
		for _, rows := range []int{1, 4, 8, 64} {
			b.Run(fmt.Sprintf("dtype=%s/rows=%d", dtype, rows), func(b *testing.B) {
				s := Shape{Layers: 1, Experts: 4, DModel: 2048, DHidden: 8192, TopK: 1, DType: dtype}
				benchmarkExperts(b, s, rows)
			})
		}
	}
}

func benchmarkExperts(b *testing.B, s Shape, rows int) {
	x := newCPUExperts(s, rows*s.Experts, runtime.GOMAXPROCS(0), kernel.Best())
	memory := newMemory(s.BankBytes())
	clear(memory)
	ids := make([]uint32, rows*s.Experts)
	for i := range ids {
		ids[i] = uint32(i % s.Experts)
	}
	var experts []resident
	group := x.group(0, ids, nil)
	for i, e := range group {
		experts = append(experts, resident{e, memory[int64(i)*s.ExpertBytes():][:s.ExpertBytes()]})
	}
	x.gather(group, SyntheticInput(len(ids), s.DModel, 1))
	b.SetBytes(s.BankBytes())
	for b.Loop() {
		x.compute(experts)
	}
	flops := float64(s.ExpertFlops()) * float64(len(ids)) * float64(b.N)
	b.ReportMetric(flops/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
