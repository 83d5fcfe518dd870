package moe

import (
	"fmt"
	"testing"

	"ufm/internal/kernel"
	"ufm/pager"
)

// BenchmarkCPUText runs two layers and the head of Qwen3-30B-A3B's shape, all experts
// resident: one token, or a piece of a prompt, after some context.
func BenchmarkCPUText(b *testing.B) {
	for _, tokens := range []int{1, 64} {
		for _, before := range []int{0, 1000} {
			b.Run(fmt.Sprintf("tokens=%d/context=%d", tokens, before), func(b *testing.B) {
				benchmarkText(b, tokens, before)
			})
		}
	}
}

func benchmarkText(b *testing.B, tokens, before int) {
	m, err := NewSyntheticText("qwen3-30b-a3b", 2, BF16, 1)
	if err != nil {
		b.Fatal(err)
	}
	r := newText(b, newTestCPU(2, kernel.Best()), m, TextConfig{
		Run: RunConfig{Mode: Baseline, MaxTokens: tokens}, Context: before + tokens}).(*cpuText)
	batch := TextBatch{Phase: pager.Decode, IDs: make([]int32, tokens),
		Logits: make([]float32, m.Config().Vocab)}
	for i := range batch.IDs {
		batch.IDs[i] = int32(i * 7)
	}
	for b.Loop() {
		r.length = before
		if _, err := r.Forward(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(tokens*b.N)/b.Elapsed().Seconds(), "tokens/s")
}
