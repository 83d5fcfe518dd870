//go:build cgo && linux

package vulkan

import (
	"fmt"
	"testing"

	"ufm/moe"
	"ufm/vk"
)

// TestClass checks which tiling experts get, at the edges.
func TestClass(t *testing.T) {
	plain := vk.DeviceInfo{Kind: "discrete GPU"}
	matrices := vk.DeviceInfo{
		Kind: "discrete GPU", SubgroupSize: 32, MaxSharedMemory: 48 << 10, BFloat16Matrices: true,
		Matrices: []vk.MatrixShape{{M: 16, N: 16, K: 16, A: "bf16", B: "bf16", C: "f32", Result: "f32"}},
	}
	for _, c := range []struct {
		name  string
		info  vk.DeviceInfo
		dtype moe.DType
		exact bool
		rows  map[int]int // rows of an expert: rows of its tiles
	}{
		{"CPU", vk.DeviceInfo{Kind: "CPU"}, moe.F32, false, map[int]int{1: 1, 2: 8, 100: 8}},
		{"plain", plain, moe.BF16, false, map[int]int{1: 1, 2: 2, 3: 16, 1000: 16}},
		{"f32", matrices, moe.F32, false, map[int]int{1: 32, 16: 32, 1000: 32}},
		{"f16", matrices, moe.F16, false, map[int]int{1: 16, 16: 16, 17: 32, 33: 48, 63: 48, 64: 64}},
		{"bf16", matrices, moe.BF16, false, map[int]int{1: 16, 16: 16, 17: 32, 33: 48, 64: 64}},
		{"bf16 exact", matrices, moe.BF16, true, map[int]int{16: 16, 17: 32, 32: 32, 33: 48, 65: 48}},
	} {
		p := newProfile(c.info, hasMatrices(c.info), moe.Shape{DType: c.dtype}, c.exact)
		if got, want := p.rounds(), c.info.BFloat16Matrices && c.dtype != moe.F32 && !c.exact; got != want {
			t.Errorf("%s: rounds: got %v, want %v", c.name, got, want)
		}
		for rows, want := range c.rows {
			tile := p.tiles[p.class(rows)]
			if tile.rows != want {
				t.Errorf("%s, %d rows: got tiles of %d, want %d", c.name, rows, tile.rows, want)
			}
			if tile.rounded && rows < minRounded {
				t.Errorf("%s: %d rows are rounded", c.name, rows)
			}
		}
	}
}

// TestElementsInOrder checks what tells drivers apart that keep matrices in another order.
func TestElementsInOrder(t *testing.T) {
	var found []float32
	for range 2 {
		for lane := range lanesOfMatrix {
			for h := range 2 {
				for _, k := range []int{2 * (lane % 4), 2*(lane%4) + 1, 2*(lane%4) + 8, 2*(lane%4) + 9} {
					found = append(found, float32(16*k+lane/4+8*h))
				}
			}
		}
	}
	if !elementsInOrder(found) {
		t.Error("the order that matrix.comp expects: got false")
	}
	found[300], found[301] = found[301], found[300]
	if elementsInOrder(found) {
		t.Error("two elements of the inputs exchanged: got true")
	}
	if elementsInOrder(make([]float32, len(found))) {
		t.Error("nothing written: got true")
	}
}

// TestGateByTokens: a step's bits depend on its tokens, not on how many the runner could take.
func TestGateByTokens(t *testing.T) {
	b := open(t, Options{})
	shape := moe.Shape{Layers: 2, Experts: 5, DModel: 40, DHidden: 24, TopK: 2}
	var want *moe.Batch
	for _, most := range []int{8, manyTokens - 1, manyTokens, 2 * manyTokens} {
		g := newRig(t, b, shape, 8)
		r, err := b.NewRunner(moe.RunConfig{Shape: shape, Mode: moe.Baseline, MaxTokens: most})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Attach(t.Context(), g.bank); err != nil {
			t.Fatal(err)
		}
		got := &moe.Batch{Tokens: 8, Input: g.input, Capture: newCapture(shape, 8)}
		if _, err := r.Step(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		same(t, fmt.Sprintf("a runner for %d tokens", most), got, want)
	}
}
