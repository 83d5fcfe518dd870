package moe

import (
	"fmt"
	"testing"
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
