package moe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/x448/float16"

	"ufm/internal/kernel"
	"ufm/pager"
)

// testShapes are small shapes whose sizes are no multiples of anything.
func testShapes(yield func(Shape) bool) {
	for form := GELU; form <= SwiGLU; form++ {
		for dtype := F32; dtype <= BF16; dtype++ {
			s := Shape{Layers: 2, Experts: 3, DModel: 11, DHidden: 6, TopK: 2, Form: form, DType: dtype}
			if !yield(s) {
				return
			}
		}
	}
}

func newTestModel(t testing.TB, s Shape) Model {
	t.Helper()
	m, err := NewSynthetic(s, 42)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// element reads one stored weight.
func element(data []byte, l Layout, k, n, out int) float32 {
	i := l.Index(k, n, out)
	switch l.DType {
	case F32:
		return math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	case F16:
		return float16.Frombits(binary.LittleEndian.Uint16(data[2*i:])).Float32()
	}
	return math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16)
}

// TestSyntheticLayout reads every weight, and the padding, through Layout.Index.
func TestSyntheticLayout(t *testing.T) {
	for s := range testShapes {
		m, l := newTestModel(t, s), NewLayout(s)
		for e := range s.Paging().Universe() {
			data := make([]byte, l.Bytes)
			if err := m.FillExpert(pager.ExpertID(e), data); err != nil {
				t.Fatal(err)
			}
			w, err := m.Expert(pager.ExpertID(e))
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%s %s expert %d", s.Form, s.DType, e)
			checkStored(t, name+" up", data[l.Up:], l, w.Up, s.DModel, s.DHidden, l.In, l.Hidden)
			checkStored(t, name+" down", data[l.Down:], l, w.Down, s.DHidden, s.DModel, l.Hidden, l.In)
			if s.Form == SwiGLU {
				checkStored(t, name+" gate", data[l.Gate:], l, w.Gate, s.DModel, s.DHidden, l.In, l.Hidden)
			}
		}
	}
}

// TestSyntheticVectors: rows long enough for vector code, and whatever it leaves over, have
// the values that are computed one by one.
func TestSyntheticVectors(t *testing.T) {
	for dtype := F32; dtype <= BF16; dtype++ {
		for out := 1; out <= 41; out += 4 {
			for _, in := range []int{30, 31} {
				for seed := range uint64(4) {
					g := newGenerator(seed, out, int(seed)%3, in, out)
					l := NewLayout(Shape{DModel: in, DHidden: out, DType: dtype})
					data := make([]byte, l.In*l.Hidden*dtype.Size())
					g.fill(data, dtype, l.Hidden)
					checkStored(t, fmt.Sprintf("%s, %d × %d", dtype, in, out), data, l,
						g.natural(dtype), in, out, l.In, l.Hidden)
				}
			}
		}
	}
}

func checkStored(t *testing.T, name string, data []byte, l Layout, natural []float32,
	in, out, paddedIn, paddedOut int) {
	t.Helper()
	for k := range paddedIn {
		for n := range paddedOut {
			want := float32(0)
			if k < in && n < out {
				want = natural[n*in+k]
			}
			if got := element(data, l, k, n, paddedOut); got != want {
				t.Fatalf("%s: weight (%d, %d): got %g, want %g", name, k, n, got, want)
			}
		}
	}
}

// TestSyntheticValues checks mean, variance and independence, and that the seed, the
// expert and the matrix matter.
func TestSyntheticValues(t *testing.T) {
	s := Shape{Layers: 2, Experts: 2, DModel: 200, DHidden: 300, TopK: 1, Form: SwiGLU}
	m := newTestModel(t, s)
	w, err := m.Expert(1)
	if err != nil {
		t.Fatal(err)
	}
	router, err := m.Router(1)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		values []float32
		fanIn  int
	}{
		"up": {w.Up, 200}, "gate": {w.Gate, 200}, "down": {w.Down, 300}, "router": {router, 200},
	} {
		var sum, squares, next float64
		for i, v := range c.values {
			sum += float64(v)
			squares += float64(v) * float64(v)
			next += float64(v) * float64(c.values[(i+1)%len(c.values)])
		}
		n := float64(len(c.values))
		unit := 1 / math.Sqrt(float64(c.fanIn))
		tolerance := 5 / math.Sqrt(n)
		if got := sum / n / unit; math.Abs(got) > tolerance {
			t.Errorf("%s: mean: got %g standard deviations, want 0 ± %g", name, got, tolerance)
		}
		if got := squares / n / unit / unit; math.Abs(got-1) > tolerance {
			t.Errorf("%s: variance × fan-in: got %g, want 1 ± %g", name, got, tolerance)
		}
		if got := next / n / unit / unit; math.Abs(got) > tolerance {
			t.Errorf("%s: correlation of neighbours: got %g, want 0 ± %g", name, got, tolerance)
		}
	}
	other, err := NewSynthetic(s, 43)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[float32]string{}
	for name, m := range map[string]Model{"seed 42": m, "seed 43": other} {
		for e := range s.Paging().Universe() {
			w, err := m.Expert(pager.ExpertID(e))
			if err != nil {
				t.Fatal(err)
			}
			for matrix, v := range map[string]float32{"up": w.Up[0], "gate": w.Gate[0], "down": w.Down[0]} {
				where := fmt.Sprintf("%s, expert %d, %s", name, e, matrix)
				if have, ok := seen[v]; ok {
					t.Errorf("%s starts like %s: %g", where, have, v)
				}
				seen[v] = where
			}
		}
	}
}

// TestRounding compares with another implementation, at and around every float16.
func TestRounding(t *testing.T) {
	for h := range uint32(0x7c00) { // all finite magnitudes
		exact := float16.Frombits(uint16(h)).Float32()
		if got := kernel.WidenF16(h); got != exact {
			t.Fatalf("widen %#04x: got %g, want %g", h, got, exact)
		}
		next := float16.Frombits(uint16(min(h+1, 0x7bff))).Float32()
		middle := (exact + next) / 2
		for _, v := range []float32{
			exact, middle,
			math.Nextafter32(middle, 0), math.Nextafter32(middle, 1e9),
			-exact, -middle,
		} {
			if got, want := roundF16(v), uint32(float16.Fromfloat32(v).Bits()); got != want {
				t.Fatalf("round %g: got %#04x, want %#04x", v, got, want)
			}
		}
	}
	if v := kernel.WidenF16(0x8001); v != -0x1p-24 {
		t.Errorf("widen -2^-24: got %g", v)
	}
	if v := kernel.WidenF16(0xfc00); !math.IsInf(float64(v), -1) {
		t.Errorf("widen -infinity: got %g", v)
	}
	if v := kernel.WidenF16(0xffff); v == v {
		t.Errorf("widen NaN: got %g", v)
	}
	for _, c := range []struct{ in, want uint32 }{
		{0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, {0x3f808001, 0x3f81}, {0xbf7fffff, 0xbf80},
	} {
		if got := roundBF16(math.Float32frombits(c.in)); got != c.want {
			t.Errorf("round %#08x to bfloat16: got %#04x, want %#04x", c.in, got, c.want)
		}
	}
}

func TestSyntheticInput(t *testing.T) {
	a, b := SyntheticInput(30, 100, 1), SyntheticInput(30, 100, 2)
	var squares, cross float64
	for i := range a {
		squares += float64(a[i]) * float64(a[i])
		cross += float64(a[i]) * float64(b[i])
	}
	if got := squares / 3000; math.Abs(got-1) > 0.15 {
		t.Errorf("variance: got %g, want 1", got)
	}
	if got := cross / 3000; math.Abs(got) > 0.1 {
		t.Errorf("correlation of two seeds: got %g, want 0", got)
	}
	if again := SyntheticInput(30, 100, 1); again[7] != a[7] {
		t.Errorf("same seed: got %g, want %g", again[7], a[7])
	}
}

func TestSyntheticBadArguments(t *testing.T) {
	if _, err := NewSynthetic(Shape{}, 1); err == nil {
		t.Error("empty shape: no error")
	}
	s := Shape{Layers: 1, Experts: 2, DModel: 8, DHidden: 8, TopK: 1}
	m := newTestModel(t, s)
	buf := make([]byte, s.ExpertBytes())
	if m.FillExpert(2, buf) == nil {
		t.Error("fill of expert 2 of 2: no error")
	}
	if m.FillExpert(0, buf[1:]) == nil {
		t.Error("fill of a short slot: no error")
	}
	if _, err := m.Expert(2); err == nil {
		t.Error("expert 2 of 2: no error")
	}
	if _, err := m.Router(1); err == nil {
		t.Error("router of layer 1 of 1: no error")
	}
}

// TestSyntheticPinned guards what recorded figures depend on: the same seed gives the
// same bank in every version.
func TestSyntheticPinned(t *testing.T) {
	s := Shape{Layers: 1, Experts: 1, DModel: 8, DHidden: 8, TopK: 1, DType: BF16}
	data := make([]byte, s.ExpertBytes())
	if err := newTestModel(t, s).FillExpert(0, data); err != nil {
		t.Fatal(err)
	}
	want := []byte{0x71, 0xbe, 0x79, 0xbd, 0xb6, 0x3e, 0x92, 0x3e}
	if !bytes.HasPrefix(data, want) {
		t.Errorf("first bytes: got %#v, want %#v", data[:8], want)
	}
}

func BenchmarkFillExpert(b *testing.B) {
	for dtype := F32; dtype <= BF16; dtype++ {
		b.Run("dtype="+dtype.String(), func(b *testing.B) {
			s := Shape{Layers: 1, Experts: 8, DModel: 512, DHidden: 2048, TopK: 1, DType: dtype}
			m := newTestModel(b, s)
			data := make([]byte, s.ExpertBytes())
			b.SetBytes(int64(len(data)))
			for i := range b.N {
				if err := m.FillExpert(pager.ExpertID(i%8), data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
