package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func (s Storage) String() string { return [...]string{"f32", "f16", "bf16"}[s] }

// problem is a matrix of random weights and rows for it, with their float64 product.
type problem struct {
	matrix Matrix
	rows   int
	x      []float32 // (in/8, rows, 8)
	want   []float64 // (rows, out)
	scale  []float64 // (rows, out): Σ |w·x|
}

func newProblem(s Storage, in, out, rows int) *problem {
	rng := rand.New(rand.NewPCG(uint64(in*out), uint64(rows)))
	p := &problem{matrix: Matrix{make([]byte, in*out*s.Size()), s, in, out}, rows: rows}
	p.x = make([]float32, in*rows)
	for i := range p.x {
		p.x[i] = float32(rng.NormFloat64())
	}
	p.want, p.scale = make([]float64, rows*out), make([]float64, rows*out)
	for k := range in {
		for n := range out {
			w := p.put(k, n, rng)
			for r := range rows {
				v := w * float64(p.x[k/Group*rows*Group+r*Group+k%Group])
				p.want[r*out+n] += v
				p.scale[r*out+n] += math.Abs(v)
			}
		}
	}
	return p
}

// put stores a random weight where the layout wants that of input k and output n.
func (p *problem) put(k, n int, rng *rand.Rand) float64 {
	m := p.matrix
	if m.Storage == F32 {
		w := float32(rng.NormFloat64())
		binary.LittleEndian.PutUint32(m.Data[4*(k*m.Out+n):], math.Float32bits(w))
		return float64(w)
	}
	at := m.Data[4*(k/2*m.Out+n)+k%2*2:]
	if m.Storage == BF16 {
		bits := math.Float32bits(float32(rng.NormFloat64())) &^ 0xffff
		binary.LittleEndian.PutUint16(at, uint16(bits>>16))
		return float64(math.Float32frombits(bits))
	}
	bits := rng.Uint32() & 0xbfff // below 2, often denormal when shifted
	if k%3 == 0 {
		bits &= 0x83ff
	}
	binary.LittleEndian.PutUint16(at, uint16(bits))
	return float64(WidenF16(bits))
}

// multiply returns all outputs, (rows, out), computed in tiles of so many.
func (p *problem) multiply(set *Set, tile int) []float32 {
	y := make([]float32, p.rows*p.matrix.Out)
	acc := make([]float32, p.rows*Stride(tile))
	for n := 0; n < p.matrix.Out; n += tile {
		for i := range acc {
			acc[i] = float32(math.NaN()) // what was there before must not count
		}
		width := min(tile, p.matrix.Out-n)
		set.Multiply(acc, p.matrix, n, width, p.x, p.rows)
		for r := range p.rows {
			copy(y[r*p.matrix.Out+n:][:width], acc[r*Stride(width):])
		}
	}
	return y
}

// problems have sizes on both sides of all boundaries: 8 and 16 outputs, tiles of
// 256 and of 1024.
func problems(yield func(*problem) bool) {
	for s := F32; s <= BF16; s++ {
		for _, c := range [][3]int{
			{8, 8, 1}, {8, 16, 2}, {16, 24, 3}, {24, 40, 7}, {64, 248, 1}, {40, 256, 5},
			{16, 264, 4}, {8, 1032, 9}, {1024, 32, 2}, {16, 16, 130},
		} {
			if !yield(newProblem(s, c[0], c[1], c[2])) {
				return
			}
		}
	}
}

// TestMultiply compares all sets with float64: a sum's error is that of at most
// in/8+8 roundings.
func TestMultiply(t *testing.T) {
	for p := range problems {
		for _, set := range Available() {
			got, worst := p.multiply(set, TileOut), 0.0
			for i, want := range p.want {
				worst = max(worst, math.Abs(float64(got[i])-want)/p.scale[i])
			}
			limit := float64(p.matrix.In/Group+Group) * 0x1p-24
			if !(worst <= limit) {
				t.Errorf("%s %s %dx%d, %d rows: got error %.2g of the sum of magnitudes, want <= %.2g",
					set.Name, p.matrix.Storage, p.matrix.In, p.matrix.Out, p.rows, worst, limit)
			}
			if worst == 0 && p.matrix.In > 8 {
				t.Errorf("%s: no error at all: nothing was compared", set.Name)
			}
		}
	}
}

// TestSameBits checks that the assembly sets agree bit for bit, and that an output does
// not depend on how wide its tile is or on which rows share its call.
func TestSameBits(t *testing.T) {
	for p := range problems {
		best := p.multiply(Best(), TileOut)
		for _, set := range simd() {
			sameBits(t, set.Name+" against "+Best().Name, p.multiply(set, TileOut), best)
		}
		for _, set := range Available() {
			all := p.multiply(set, TileOut)
			for _, tile := range []int{8, 24, MinTileOut, 2 * MinTileOut} {
				sameBits(t, fmt.Sprintf("%s in tiles of %d", set.Name, tile), p.multiply(set, tile), all)
			}
			for r := range p.rows {
				alone := &problem{matrix: p.matrix, rows: 1, x: p.row(r)}
				sameBits(t, fmt.Sprintf("%s, row %d alone", set.Name, r),
					alone.multiply(set, TileOut), all[r*p.matrix.Out:][:p.matrix.Out])
			}
		}
	}
}

func sameBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: output %d: got %g, want %g", name, i, got[i], want[i])
		}
	}
}

// row is the input of one row.
func (p *problem) row(r int) []float32 {
	var x []float32
	for k := 0; k < p.matrix.In; k += Group {
		x = append(x, p.x[k*p.rows+r*Group:][:Group]...)
	}
	return x
}

// TestStoredValues converts every float16 and every bfloat16: one input of 1 and seven
// of 0 leave the weight itself.
func TestStoredValues(t *testing.T) {
	const out = 1 << 13
	x := []float32{0, 0, 0, 1, 0, 0, 0, 0}
	for _, set := range Available() {
		for s := F16; s <= BF16; s++ {
			p := &problem{matrix: Matrix{make([]byte, 8*out*2), s, 8, out}, rows: 1, x: x}
			for first := uint32(0); first < 1<<16; first += out {
				for n := range uint32(out) {
					binary.LittleEndian.PutUint16(p.matrix.Data[4*(out+n)+2:], uint16(first+n))
				}
				for n, got := range p.multiply(set, TileOut) {
					bits := first + uint32(n)
					want := math.Float32frombits(bits << 16)
					if s == F16 {
						want = WidenF16(bits)
					}
					if got != want && (got == got || want == want) {
						t.Fatalf("%s, %s %#04x: got %g, want %g", set.Name, s, bits, got, want)
					}
				}
			}
		}
	}
}

// TestBadSizes checks that what does not fit panics before any assembly runs.
func TestBadSizes(t *testing.T) {
	m := Matrix{make([]byte, 4*16*16), F32, 16, 16}
	acc, x := make([]float32, 2*Stride(16)), make([]float32, 2*16)
	for _, set := range Available() {
		for name, f := range map[string]func(){
			"no rows":      func() { set.Multiply(acc, m, 0, 16, x, 0) },
			"acc":          func() { set.Multiply(acc[:2*Stride(16)-1:2*Stride(16)-1], m, 0, 16, x, 2) },
			"x":            func() { set.Multiply(acc, m, 0, 16, x[:31:31], 2) },
			"n":            func() { set.Multiply(acc, m, 4, 8, x, 2) },
			"width":        func() { set.Multiply(acc, m, 0, 12, x, 2) },
			"beyond":       func() { set.Multiply(acc, m, 8, 16, x, 2) },
			"data":         func() { set.Multiply(acc, Matrix{m.Data[1:], F32, 16, 16}, 0, 16, x, 2) },
			"in":           func() { set.Multiply(acc, Matrix{m.Data, F32, 12, 16}, 0, 16, x, 2) },
			"gelu width":   func() { set.GELU(acc, acc, 1, 12) },
			"gelu dst":     func() { set.GELU(make([]float32, 15), acc, 2, 8) },
			"swiglu width": func() { set.SwiGLU(acc, acc, acc, 1, TileOut+8) },
			"swiglu up":    func() { set.SwiGLU(acc, acc, acc[:8:8], 1, 8) },
		} {
			if !panics(f) {
				t.Errorf("%s, %s: no panic", set.Name, name)
			}
		}
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

func BenchmarkMultiply(b *testing.B) {
	for s := F32; s <= BF16; s++ {
		for _, rows := range []int{1, 4, 16, 64} {
			for _, set := range Available() {
				name := fmt.Sprintf("kernel=%s/dtype=%s/rows=%d", set.Name, s, rows)
				b.Run(name, func(b *testing.B) { benchmarkMultiply(b, set, s, rows) })
			}
		}
	}
}

// benchmarkMultiply works out of the second cache: it shows what the kernel could do
// if memory kept up.
func benchmarkMultiply(b *testing.B, set *Set, s Storage, rows int) {
	const in, out = 256, MinTileOut
	m := Matrix{make([]byte, in*out*s.Size()), s, in, out}
	acc, x := make([]float32, rows*Stride(out)), make([]float32, rows*in)
	b.SetBytes(int64(len(m.Data)))
	for b.Loop() {
		set.Multiply(acc, m, 0, out, x, rows)
	}
	flops := float64(2*rows*in*out) * float64(b.N)
	b.ReportMetric(flops/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
