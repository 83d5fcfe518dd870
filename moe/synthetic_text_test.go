package moe

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"ufm/internal/kernel"
	"ufm/pager"
)

// smallText is a synthetic model of an architecture with other sizes.
func smallText(t testing.TB, arch string, dtype DType, change func(*Config)) *syntheticText {
	t.Helper()
	c, ok := architectures[arch]
	if !ok {
		t.Fatalf("no architecture %s", arch)
	}
	c.Layers, c.Experts, c.TopK, c.DModel, c.DHidden = 3, 6, 2, 40, 24
	c.Vocab, c.Heads, c.KVHeads, c.HeadDim = 50, 4, 2, 16
	if change != nil {
		change(&c)
	}
	m, err := newSyntheticText("small", c, dtype, 42)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSyntheticTextLayout compares the kernel layout with the natural order, and the
// stored bytes with the values, also where sizes are odd.
func TestSyntheticTextLayout(t *testing.T) {
	for dtype := F32; dtype <= BF16; dtype++ {
		for _, size := range []int{40, 11} {
			m := smallText(t, "olmoe-1b-7b", dtype, func(c *Config) { c.DModel, c.DHidden = size, size+2 })
			s, l := m.Shape(), NewLayout(m.Shape())
			for e := range s.Paging().Universe() {
				data := make([]byte, l.Bytes)
				if err := m.FillExpert(pager.ExpertID(e), data); err != nil {
					t.Fatal(err)
				}
				w, err := m.Expert(pager.ExpertID(e))
				if err != nil {
					t.Fatal(err)
				}
				name := fmt.Sprintf("%s %d expert %d", dtype, size, e)
				checkStored(t, name+" up", data[l.Up:], l, w.Up, s.DModel, s.DHidden, l.In, l.Hidden)
				checkStored(t, name+" gate", data[l.Gate:], l, w.Gate, s.DModel, s.DHidden, l.In, l.Hidden)
				checkStored(t, name+" down", data[l.Down:], l, w.Down, s.DHidden, s.DModel, l.Hidden, l.In)
			}
		}
	}
}

// TestSyntheticTextWeights checks mean, size and independence of every kind of weight.
func TestSyntheticTextWeights(t *testing.T) {
	seen := map[float32]string{}
	for dtype := F32; dtype <= BF16; dtype++ {
		if raceDetector && dtype != BF16 {
			continue
		}
		m, err := NewSyntheticText("qwen3-30b-a3b", 2, dtype, 1)
		if err != nil {
			t.Fatal(err)
		}
		router, err := m.Router(1)
		if err != nil {
			t.Fatal(err)
		}
		w, err := m.Expert(130)
		if err != nil {
			t.Fatal(err)
		}
		query, err := m.Dense(Query, 1)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			values []float32
			fanIn  float64
		}{
			"router": {router, 2048}, "gate": {w.Gate, 2048}, "up": {w.Up, 2048}, "down": {w.Down, 768},
			"query": {query, 2048},
		} {
			var sum, squares, next float64
			for i, v := range c.values {
				sum += float64(v)
				squares += float64(v) * float64(v)
				next += float64(v) * float64(c.values[(i+1)%len(c.values)])
			}
			n := float64(len(c.values))
			rms := math.Sqrt(squares / n)
			if r := rms * math.Sqrt(c.fanIn); r < 0.7 || r > 1.42 {
				t.Errorf("%s %s: root mean square × √fan-in: got %g, want about 1", dtype, name, r)
			}
			if z := math.Abs(sum) / rms / math.Sqrt(n); z > 5 {
				t.Errorf("%s %s: mean is %.1f standard errors from 0", dtype, name, z)
			}
			if z := math.Abs(next) / rms / rms / math.Sqrt(n); z > 5 {
				t.Errorf("%s %s: neighbours correlate by %.1f standard errors", dtype, name, z)
			}
			first := c.values[0] * 1.0001 // of 16 bits many are alike: look at more of them
			for _, v := range c.values[1:20] {
				first = first*1.3 + v
			}
			if have, ok := seen[first]; ok {
				t.Errorf("%s %s starts like %s", dtype, name, have)
			}
			seen[first] = fmt.Sprint(dtype, " ", name)
		}
	}
}

// TestSyntheticTextRuns compares small models of each architecture with the reference;
// that they agree shows that activations stay in bounds, too.
func TestSyntheticTextRuns(t *testing.T) {
	ids := []int32{3, 49, 0, 17, 17, 5, 8, 1, 2, 30}
	for _, arch := range SyntheticArchitectures() {
		for dtype := F32; dtype <= BF16; dtype++ {
			m := smallText(t, arch, dtype, nil)
			want, err := ReferenceText(m, ids)
			if err != nil {
				t.Fatal(err)
			}
			r := newText(t, newTestCPU(2, kernel.Best()), m, TextConfig{
				Run:     RunConfig{Mode: UFM, Slots: 4, MaxTokens: 4, Poison: true},
				Context: len(ids), Logits: 4})
			got := forward(t, r, m.Config().Vocab, ids, 4)
			if d := Compare(got, want.Logits, m.Config().Vocab); d.TokenNMSE > 1e-10 {
				t.Errorf("%s %s: got %+v, want NMSE <= 1e-10 for each token", arch, dtype, d)
			}
			if high := slices.Max(got); high > 20 || high < 0.5 {
				t.Errorf("%s %s: largest logit: got %g, want something near 3", arch, dtype, high)
			}
		}
	}
}

func TestSyntheticTextArchitectures(t *testing.T) {
	for arch, bank := range map[string]int64{ // parameters of all experts
		"qwen3-30b-a3b": 48 * 128 * 3 * 2048 * 768,
		"mixtral-8x7b":  32 * 8 * 3 * 4096 * 14336,
		"olmoe-1b-7b":   16 * 64 * 3 * 2048 * 1024,
	} {
		m, err := NewSyntheticText(arch, 0, BF16, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Shape().BankBytes(); got != 2*bank {
			t.Errorf("%s: bank: got %d bytes, want %d", arch, got, 2*bank)
		}
	}
	_, err := NewSyntheticText("llama", 0, BF16, 1)
	wantErrorWith(t, err, "llama", "qwen3-30b-a3b")
	_, err = NewSyntheticText("olmoe-1b-7b", 17, BF16, 1)
	wantErrorWith(t, err, "17", "16")
}

// BenchmarkFillSyntheticText fills experts of Qwen3-30B-A3B's shape.
func BenchmarkFillSyntheticText(b *testing.B) {
	for dtype := F32; dtype <= BF16; dtype++ {
		b.Run("dtype="+dtype.String(), func(b *testing.B) {
			m, err := NewSyntheticText("qwen3-30b-a3b", 1, dtype, 1)
			if err != nil {
				b.Fatal(err)
			}
			data := make([]byte, m.Shape().ExpertBytes())
			b.SetBytes(int64(len(data)))
			for i := 0; b.Loop(); i++ {
				if err := m.FillExpert(pager.ExpertID(i%128), data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
