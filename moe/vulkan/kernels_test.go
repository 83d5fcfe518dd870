//go:build cgo && linux

package vulkan

import (
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
		{"f32", matrices, moe.F32, false, map[int]int{2: 2, 3: 16, 48: 16, 49: 64, 1000: 64}},
		{"f16", matrices, moe.F16, false, map[int]int{3: 12, 16: 12, 17: 32, 63: 32, 64: 64}},
		{"bf16", matrices, moe.BF16, false, map[int]int{3: 16, 16: 16, 17: 32, 64: 64}},
		{"bf16 exact", matrices, moe.BF16, true, map[int]int{16: 16, 17: 32, 64: 32, 65: 64}},
	} {
		p := newProfile(c.info, moe.Shape{DType: c.dtype}, c.exact)
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
