package moe

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"ufm/internal/kernel"
	"ufm/moe/tiny"
	"ufm/pager"
)

// newText makes a runner of m with a bank attached.
func newText(t testing.TB, b TextBackend, m TextModel, cfg TextConfig) TextRunner {
	t.Helper()
	cfg.Run.Shape = m.Shape()
	r, err := b.NewTextRunner(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	bank, err := b.NewBank(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bank.Close() })
	if err := r.Attach(t.Context(), bank); err != nil {
		t.Fatal(err)
	}
	return r
}

func newTestCPU(threads int, set *kernel.Set) TextBackend {
	return &cpuBackend{threads: threads, kernels: set}
}

// forward appends ids in pieces of at most size tokens and returns all logits.
func forward(t testing.TB, r TextRunner, vocab int, ids []int32, size int) []float32 {
	t.Helper()
	logits := make([]float32, len(ids)*vocab)
	for step, at := 0, 0; at < len(ids); step++ {
		n := min(size, len(ids)-at)
		b := TextBatch{Step: step, IDs: ids[at:][:n], Logits: logits[at*vocab:][:n*vocab]}
		if n == 1 {
			b.Phase = pager.Decode
		}
		if _, err := r.Forward(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		at += n
	}
	return logits
}

// budgets are those of the tests: the whole bank, a quarter and the least possible.
func budgets(s Shape) []int { return []int{s.Paging().Universe(), s.Paging().Universe() / 4, 1} }

// TestCPUTextLogits compares with the recordings, with every kernel set and budget.
func TestCPUTextLogits(t *testing.T) { eachKernel(t, testCPUTextLogits) }

func testCPUTextLogits(t *testing.T, set *kernel.Set) {
	for _, name := range trained {
		if raceDetector && set.Name == "plain" && name == tiny.Name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			m := openText(t, name)
			vocab := m.Config().Vocab
			ids, want := recordedLogits(t, name)
			for _, slots := range budgets(m.Shape()) {
				r := newText(t, newTestCPU(2, set), m, TextConfig{
					Run:     RunConfig{Mode: UFM, Slots: slots, MaxTokens: 64, Poison: true},
					Context: len(ids), Logits: 64})
				d := Compare(forward(t, r, vocab, ids, 64), want, vocab)
				t.Logf("%d slots: NMSE %.2g, by token %.2g", slots, d.NMSE, d.TokenNMSE)
				if d.NMSE > 1e-10 || d.TokenNMSE > 1e-10 {
					t.Errorf("%d slots: got %+v, want NMSE <= 1e-10 for each token", slots, d)
				}
			}
		})
	}
}

// TestCPUTextSameBits runs one sequence at every budget, policy and prefetch setting, cut
// in several ways and on several threads: no logit may differ in one bit.
func TestCPUTextSameBits(t *testing.T) {
	for _, name := range trained {
		t.Run(name, func(t *testing.T) {
			m := openText(t, name)
			vocab, s := m.Config().Vocab, m.Shape()
			ids, _ := recordedLogits(t, name)
			ids = ids[:40]
			if raceDetector {
				ids = ids[:12]
			}
			cfg := TextConfig{Run: RunConfig{Mode: Baseline, MaxTokens: 40, Poison: true},
				Context: 43, Logits: 40}
			r := newText(t, newTestCPU(1, kernel.Best()), m, cfg)
			want := forward(t, r, vocab, ids, 40)
			cfg.Run.Mode = UFM
			for i, slots := range append(budgets(s), s.TopK, s.TopK+1, s.Experts) {
				for _, policy := range []string{"nextuse", "random"} {
					cfg.Run.Slots, cfg.Prefetch = slots, policy == "random" != (i%2 == 0)
					p, err := pager.NewPolicy(policy, s.Paging(), slots)
					if err != nil {
						t.Fatal(err)
					}
					cfg.Run.Policy = p
					size := []int{40, 1, 7}[i%3]
					r := newText(t, newTestCPU(1+i%3, kernel.Best()), m, cfg)
					got := forward(t, r, vocab, ids, size)
					sameBits(t, fmt.Sprintf("%d slots, %s, prefetch %t, pieces of %d",
						slots, policy, cfg.Prefetch, size), got, want)
				}
			}
		})
	}
}

// greedy continues a prompt with the likeliest tokens.
func greedy(t testing.TB, r TextRunner, vocab int, prompt []int32, tokens int) []int32 {
	t.Helper()
	logits := make([]float32, vocab)
	b := TextBatch{IDs: prompt, Logits: logits}
	var out []int32
	for len(out) < tokens {
		if _, err := r.Forward(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		best := int32(0)
		for i, v := range logits {
			if v > logits[best] {
				best = int32(i)
			}
		}
		out = append(out, best)
		b = TextBatch{Step: len(out), Phase: pager.Decode, IDs: []int32{best}, Logits: logits}
	}
	return out
}

// TestCPUTextGreedy continues the recorded prompts token for token.
func TestCPUTextGreedy(t *testing.T) {
	for _, name := range trained {
		t.Run(name, func(t *testing.T) {
			m := openText(t, name)
			prompts, _, _ := recordedText(t, name)
			for i, slots := range budgets(m.Shape()) {
				r := newText(t, newTestCPU(2, kernel.Best()), m, TextConfig{
					Run:     RunConfig{Mode: UFM, Slots: slots, MaxTokens: 32, Poison: true},
					Context: 80, Prefetch: i == 1})
				for _, p := range prompts {
					r.Reset()
					if got := greedy(t, r, m.Config().Vocab, p.Prompt, len(p.Output)); !slices.Equal(got, p.Output) {
						t.Errorf("%d slots, %s: got %v, want %v", slots, p.Domain, got, p.Output)
					}
				}
			}
		})
	}
}

// TestCPUTextPerplexity scores the recorded sequences.
func TestCPUTextPerplexity(t *testing.T) {
	m := openText(t, tiny.Name)
	if raceDetector {
		t.Skip("arithmetic, of which the other tests have enough for the race detector")
	}
	_, sequences, want := recordedText(t, tiny.Name)
	vocab := m.Config().Vocab
	for _, slots := range budgets(m.Shape())[:2] {
		r := newText(t, newTestCPU(2, kernel.Best()), m, TextConfig{
			Run:     RunConfig{Mode: UFM, Slots: slots, MaxTokens: 128},
			Context: 256, Logits: 128})
		sum, tokens := 0.0, 0
		for _, ids := range sequences {
			r.Reset()
			logits := forward(t, r, vocab, ids, 128)
			for i, id := range ids[1:] {
				sum += surprise(logits[i*vocab:][:vocab], id)
			}
			tokens += len(ids) - 1
		}
		if got := sum / float64(tokens); math.Abs(got-want) > 1e-5 {
			t.Errorf("%d slots: got %.7f nats a token, want %.7f", slots, got, want)
		}
	}
}

// surprise is the negative log-likelihood of an id.
func surprise(logits []float32, id int32) float64 {
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v - logits[id]))
	}
	return math.Log(sum)
}
