//go:build cgo && linux

package vulkan

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"ufm/internal/safetensors"
	"ufm/moe"
	"ufm/moe/tiny"
	"ufm/pager"
)

// trained are the checkpoints whose logits were recorded.
var trained = []string{tiny.Name, "qwen3_moe", "mixtral", "olmoe"}

// trainedFiles is a checkpoint's folder and where its recording is.
func trainedFiles(t *testing.T, name string) (fsys fs.FS, recording string) {
	t.Helper()
	if name == tiny.Name {
		return tiny.FS(), tiny.ActivationsFile
	}
	root := os.Getenv("UFM_TESTDATA")
	if root == "" && os.Getenv("CI") == "true" {
		t.Fatal("UFM_TESTDATA is not set")
	}
	if root == "" {
		t.Skip("UFM_TESTDATA is not set")
	}
	return os.DirFS(filepath.Join(root, "vectors", name)), "activations.safetensors"
}

// recorded is a checkpoint and what an independent implementation computed with it.
type recorded struct {
	*moe.TextCheckpoint
	ids    []int32
	logits []float32 // (tokens, vocab)
}

func openRecorded(t *testing.T, name string) *recorded {
	t.Helper()
	fsys, recording := trainedFiles(t, name)
	m, err := moe.OpenText(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	f, err := fsys.Open(recording)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Open(f.(io.ReaderAt), info.Size(), recording)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorded{TextCheckpoint: m}
	ids, err := file.Bytes("input_ids")
	if err != nil {
		t.Fatal(err)
	}
	for ; len(ids) > 0; ids = ids[8:] {
		r.ids = append(r.ids, int32(binary.LittleEndian.Uint64(ids)))
	}
	logits, err := file.Bytes("logits")
	if err != nil {
		t.Fatal(err)
	}
	for ; len(logits) > 0; logits = logits[4:] {
		r.logits = append(r.logits, math.Float32frombits(binary.LittleEndian.Uint32(logits)))
	}
	return r
}

// newText makes a runner of m on a bank.
func newText(t testing.TB, b *backend, m moe.TextModel, bank moe.Bank, cfg moe.TextConfig) moe.TextRunner {
	t.Helper()
	cfg.Run.Shape = m.Shape()
	r, err := b.NewTextRunner(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := r.Attach(t.Context(), bank); err != nil {
		t.Fatal(err)
	}
	return r
}

func newTextBank(t testing.TB, b *backend, m moe.TextModel) moe.Bank {
	t.Helper()
	bank, err := b.NewBank(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bank.Close(); err != nil {
			t.Error(err)
		}
	})
	return bank
}

// forward appends ids in pieces of these sizes, the last one repeated, and returns all
// logits.
func forward(t testing.TB, r moe.TextRunner, vocab int, ids []int32, sizes ...int) []float32 {
	t.Helper()
	logits := make([]float32, len(ids)*vocab)
	for step, at := 0, 0; at < len(ids); step++ {
		n := min(sizes[min(step, len(sizes)-1)], len(ids)-at)
		b := moe.TextBatch{Step: step, IDs: ids[at:][:n], Logits: logits[at*vocab:][:n*vocab]}
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

// budgets are the whole bank, a quarter of it and the least possible.
func budgets(s moe.Shape) []int {
	all := s.Paging().Universe()
	return []int{all, all / 4, 1}
}

// TestTextLogits compares whole models with the recordings at every budget: a prompt in two
// pieces, then token by token. No budget and no prefetch may change one bit.
func TestTextLogits(t *testing.T) {
	b := open(t, Options{})
	names := trained
	if os.Getenv("UFM_VALIDATION") == "gpu" {
		names = names[:1] // instrumented kernels take seconds to compile
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			m := openRecorded(t, name)
			vocab, n := m.Config().Vocab, len(m.ids)
			bank := newTextBank(t, b, m)
			cfg := moe.TextConfig{
				Run:     moe.RunConfig{Mode: moe.Baseline, MaxTokens: 32, Poison: true},
				Context: n + 3, Logits: 32,
			}
			sizes := []int{32, n - 32 - 5, 1}
			if n > 64 {
				sizes = []int{32, 32, n - 64 - 5, 1}
			}
			want := forward(t, newText(t, b, m, bank, cfg), vocab, m.ids, sizes...)
			d := moe.Compare(want, m.logits, vocab)
			t.Logf("NMSE %.2g, by token %.2g", d.NMSE, d.TokenNMSE)
			if !(d.NMSE <= 1e-10 && d.TokenNMSE <= 1e-10) {
				t.Fatalf("recorded logits: got %+v, want NMSE <= 1e-10 for each token", d)
			}
			cfg.Run.Mode = moe.UFM
			for _, cfg.Run.Slots = range budgets(m.Shape()) {
				for _, cfg.Prefetch = range []bool{false, true} {
					got := forward(t, newText(t, b, m, bank, cfg), vocab, m.ids, sizes...)
					sameLogits(t, fmt.Sprintf("%d slots, prefetch %v", cfg.Run.Slots, cfg.Prefetch), got, want)
				}
			}
		})
	}
}

func sameLogits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i, w := range want {
		if math.Float32bits(got[i]) != math.Float32bits(w) {
			t.Errorf("%s: logit %d: got %g, want %g", name, i, got[i], w)
			return
		}
	}
}
