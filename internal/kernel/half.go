package kernel

import "math"

// WidenF16 converts a float16, given in the low 16 bits. Moving its fields into a
// float32's leaves the exponent 112 too small, which a product corrects exactly, also
// for denormal numbers.
func WidenF16(h uint32) float32 {
	f := math.Float32frombits(h&0x7fff<<13) * 0x1p112
	if f >= 65536 { // infinity and NaN keep their exponent of all ones
		f = math.Float32frombits(h&0x3ff<<13 | 0xff<<23)
	}
	return math.Float32frombits(math.Float32bits(f) | h&0x8000<<16)
}
