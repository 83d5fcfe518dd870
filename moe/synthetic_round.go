package moe

import (
	"math"

	"ufm/internal/kernel"
)

// stored is v as storage type t keeps it.
func stored(v float32, t DType) float32 {
	switch t {
	case F16:
		return kernel.WidenF16(roundF16(v))
	case BF16:
		return math.Float32frombits(roundBF16(v) << 16)
	}
	return v
}

// roundBF16 rounds a finite v to bfloat16, to nearest, ties to even.
func roundBF16(v float32) uint32 {
	u := math.Float32bits(v)
	return (u + 0x7fff + u>>16&1) >> 16
}

// roundF16 rounds v to float16, to nearest, ties to even, for |v| < 65504.
func roundF16(v float32) uint32 {
	const smallest = 113 << 23 // 2^-14, the smallest normal float16
	u := math.Float32bits(v)
	sign, magnitude := u>>16&0x8000, u&^(1<<31)
	if magnitude < smallest {
		// In a sum with 1/2 one unit in the last place is 2^-24, float16's smallest
		// step: the addition itself does the rounding.
		const half = 126 << 23
		return sign | math.Float32bits(math.Float32frombits(magnitude)+0.5) - half
	}
	magnitude += magnitude >> 13 & 1
	return sign | (magnitude-(112<<23)+0xfff)>>13
}
