//go:build cgo && linux

package vulkan

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ufm/moe"
	"ufm/moe/tiny"
	"ufm/pager"
)

// continuation is a prompt and what the reference implementation made of it, always taking
// the likeliest token.
type continuation struct {
	Prompt []int32 `json:"prompt_ids"`
	Output []int32 `json:"output_ids"`
}

func recordedGreedy(t *testing.T, name string) []continuation {
	t.Helper()
	trainedFiles(t, "vectors") // skips, or fails, where there is no test data
	path := filepath.Join(os.Getenv("UFM_TESTDATA"), "vectors", name, "greedy.json")
	if name == tiny.Name {
		path = filepath.Join(os.Getenv("UFM_TESTDATA"), "models", name, "reference", "text.json")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var text struct {
		Greedy []continuation
		continuation
	}
	if err := json.Unmarshal(raw, &text); err != nil {
		t.Fatal(err)
	}
	if name != tiny.Name {
		text.Greedy = []continuation{text.continuation}
	}
	return text.Greedy
}

// TestTextGreedy continues the recorded prompts token for token, at each budget once.
func TestTextGreedy(t *testing.T) {
	skipSlow(t)
	b := open(t, Options{})
	for _, name := range trained {
		t.Run(name, func(t *testing.T) {
			prompts := recordedGreedy(t, name)
			m := openRecorded(t, name)
			bank := newTextBank(t, b, m)
			for i, slots := range budgets(m.Shape()) {
				r := newText(t, b, m, bank, moe.TextConfig{
					Run:     moe.RunConfig{Mode: moe.UFM, Slots: slots, MaxTokens: 32, Poison: true},
					Context: m.Config().MaxPositions / 4, Logits: 32, Prefetch: i == 1})
				p := prompts[i%len(prompts)]
				if got := greedy(t, r, m.Config().Vocab, p.Prompt, len(p.Output)); !slices.Equal(got, p.Output) {
					t.Errorf("%d slots: got %v, want %v", slots, got, p.Output)
				}
			}
		})
	}
}

func greedy(t *testing.T, r moe.TextRunner, vocab int, prompt []int32, tokens int) (out []int32) {
	t.Helper()
	logits := make([]float32, vocab)
	b := moe.TextBatch{IDs: prompt, Logits: logits}
	for len(out) < tokens {
		if _, err := r.Forward(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		best := 0
		for i, v := range logits {
			if v > logits[best] {
				best = i
			}
		}
		out = append(out, int32(best))
		b = moe.TextBatch{Step: len(out), Phase: pager.Decode, IDs: out[len(out)-1:], Logits: logits}
	}
	return out
}

// tinyText is the built-in model on a backend of its own.
func tinyText(t *testing.T) (*backend, *moe.TextCheckpoint, moe.Bank) {
	t.Helper()
	b := open(t, Options{})
	m, err := moe.OpenText(tiny.FS(), tiny.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return b, m, newTextBank(t, b, m)
}

// capture is a batch with room for everything that it can give.
func capture(m moe.TextModel, ids []int32) *moe.TextBatch {
	n := m.Shape().Layers * len(ids) * m.Shape().TopK
	return &moe.TextBatch{IDs: ids, Logits: make([]float32, m.Config().Vocab),
		Experts: make([]uint32, n), Weights: make([]float32, n), Predicted: make([]uint32, n)}
}

// TestTextAgainstReference decodes far enough for attention to be split, and compares
// logits, experts and weights of batches of one token and of several with float64; then
// the same with a given routing. Prefetch and budget change nothing.
func TestTextAgainstReference(t *testing.T) {
	skipSlow(t)
	b, m, bank := tinyText(t)
	const tokens = 75
	ids := benchIDs(tokens, m.Config().Vocab)
	ref, err := moe.ReferenceText(m, ids)
	if err != nil {
		t.Fatal(err)
	}
	s, vocab := m.Shape(), m.Config().Vocab
	cfg := moe.TextConfig{Run: moe.RunConfig{Mode: moe.Baseline, MaxTokens: 32}, Context: tokens, Logits: 32}
	resident := newText(t, b, m, bank, cfg)
	cfg.Run.Mode, cfg.Run.Slots, cfg.Prefetch = moe.UFM, 30, true
	paged := newText(t, b, m, bank, cfg)
	for at := 0; at < tokens; {
		n := 1
		if at < 64 {
			n = 32
		}
		want, got := capture(m, ids[at:][:n]), capture(m, ids[at:][:n])
		for r, c := range map[moe.TextRunner]*moe.TextBatch{resident: want, paged: got} {
			if _, err := r.Forward(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		at += n
		if resident.Position() != at || paged.Position() != at {
			t.Fatalf("positions %d and %d, want %d", resident.Position(), paged.Position(), at)
		}
		d := moe.Compare(want.Logits, ref.Logits[(at-1)*vocab:][:vocab], vocab)
		if !(d.NMSE <= 1e-10) {
			t.Errorf("logits at %d: NMSE %g, want at most 1e-10", at-1, d.NMSE)
		}
		for l := range s.Layers {
			experts := ref.Experts[(l*tokens+at-n)*s.TopK:][:n*s.TopK]
			if got := want.Experts[l*n*s.TopK:][:n*s.TopK]; !slices.Equal(got, experts) {
				t.Errorf("position %d, layer %d: experts: got %v, want %v", at-n, l, got, experts)
			}
		}
		sameLogits(t, "paged", got.Logits, want.Logits)
		sameLogits(t, "paged: weights", got.Weights, want.Weights)
		if !slices.Equal(got.Experts, want.Experts) || !slices.Equal(got.Predicted, want.Predicted) {
			t.Errorf("position %d: paged runs chose or predicted other experts", at-n)
		}
		checkPrediction(t, s, want, n)
	}
	if stats := paged.Stats(); stats.Prefetches == 0 || stats.PrefetchUsed == 0 {
		t.Errorf("prefetches: got %+v, want some, and some of use", stats)
	}
}

// checkPrediction expects the next layer's gate to be right now and then, and silence for
// layer 0.
func checkPrediction(t *testing.T, s moe.Shape, b *moe.TextBatch, tokens int) {
	t.Helper()
	each, right := tokens*s.TopK, 0
	for i, e := range b.Predicted {
		switch {
		case i < each && e != moe.NoPrediction:
			t.Fatalf("layer 0: got prediction %d", e)
		case i >= each && int(e) >= s.Experts:
			t.Fatalf("layer %d: got prediction %d of %d experts", i/each, e, s.Experts)
		}
		token := b.Experts[i/s.TopK*s.TopK:][:s.TopK]
		if slices.Contains(token, e) {
			right++
		}
	}
	if right*8 < len(b.Predicted) {
		t.Errorf("%d of %d predictions are right: that is chance", right, len(b.Predicted))
	}
}

// TestTextRouting gives the experts, of one token and of several: weights are the softmax
// of their logits, and what the router itself chose gives the same experts' outputs.
func TestTextRouting(t *testing.T) {
	skipSlow(t)
	b, m, bank := tinyText(t)
	s := m.Shape()
	cfg := moe.TextConfig{Run: moe.RunConfig{Mode: moe.UFM, Slots: 20, MaxTokens: 32}, Context: 80, Logits: 32}
	r := newText(t, b, m, bank, cfg)
	for _, n := range []int{32, 1} {
		ids := benchIDs(n, m.Config().Vocab)
		r.Reset()
		own := capture(m, ids)
		if _, err := r.Forward(t.Context(), own); err != nil {
			t.Fatal(err)
		}
		r.Reset()
		given := capture(m, ids)
		given.Routing = own.Experts
		if _, err := r.Forward(t.Context(), given); err != nil {
			t.Fatal(err)
		}
		if d := moe.Compare(given.Logits, own.Logits, len(own.Logits)); !(d.NMSE <= 1e-11) {
			t.Errorf("%d tokens: own choice given: NMSE %g", n, d.NMSE)
		}
		r.Reset()
		other := capture(m, ids)
		other.Routing = make([]uint32, len(own.Experts))
		for i := range other.Routing {
			other.Routing[i] = uint32((i*5 + i/s.TopK) % s.Experts)
		}
		if _, err := r.Forward(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(other.Experts, other.Routing) {
			t.Errorf("%d tokens: experts: got %v, want those given", n, other.Experts)
		}
		for i := 0; i < len(other.Weights); i += s.TopK {
			sum := 0.0
			for _, w := range other.Weights[i:][:s.TopK] {
				sum += float64(w)
			}
			if math.Abs(sum-1) > 1e-5 {
				t.Fatalf("%d tokens: weights add up to %g", n, sum)
			}
		}
	}
}

// TestTextErrors checks that what is refused does no harm, and that Reset starts anew.
func TestTextErrors(t *testing.T) {
	skipSlow(t)
	b, m, bank := tinyText(t)
	cfg := moe.TextConfig{Run: moe.RunConfig{Shape: m.Shape(), Mode: moe.UFM, Slots: 9, MaxTokens: 32},
		Context: 40, Logits: 32}
	r, err := b.NewTextRunner(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ids := benchIDs(8, m.Config().Vocab)
	if _, err := r.Forward(t.Context(), &moe.TextBatch{IDs: ids}); err == nil {
		t.Error("forward before Attach: no error")
	}
	if err := r.Attach(t.Context(), bank); err != nil {
		t.Fatal(err)
	}
	want := capture(m, ids)
	if _, err := r.Forward(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, bad := range map[string]*moe.TextBatch{
		"too many tokens":  {IDs: make([]int32, 33)},
		"unknown token":    {IDs: []int32{int32(m.Config().Vocab)}},
		"past the context": {IDs: benchIDs(32, 100), Step: 1},
	} {
		if name == "past the context" {
			if _, err := r.Forward(t.Context(), &moe.TextBatch{IDs: benchIDs(8, 100)}); err != nil {
				t.Fatal(err)
			}
		}
		at := r.Position()
		if _, err := r.Forward(t.Context(), bad); err == nil || r.Position() != at {
			t.Errorf("%s: got error %v and position %d, want an error and %d", name, err, r.Position(), at)
		}
	}
	if _, err := r.Forward(ended, capture(m, ids)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context's end: got %v", err)
	}
	r.Reset()
	got := capture(m, ids)
	if _, err := r.Forward(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	sameLogits(t, "after Reset", got.Logits, want.Logits)
}

// TestTextMemory compares the table with what a runner takes.
func TestTextMemory(t *testing.T) {
	b, m, _ := tinyText(t)
	cfg := moe.TextConfig{Run: moe.RunConfig{Shape: m.Shape(), Mode: moe.UFM, Slots: 9, MaxTokens: 32},
		Context: 200}
	want := 9 * m.Shape().ExpertBytes()
	for _, part := range b.TextMemory(cfg, m) {
		if part.Bytes <= 0 {
			t.Errorf("%s: got %d bytes", part.What, part.Bytes)
		}
		want += part.Bytes
	}
	r, err := b.NewTextRunner(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	x := r.(*textRunner)
	rounded := int64(len(x.memory.all)+len(x.text.dense.all)+1) << 16 // as a driver may round up each buffer
	if got := r.DeviceBytes(); got > want || got < want-rounded {
		t.Errorf("device memory: got %d, the table says %d", got, want)
	}
}
