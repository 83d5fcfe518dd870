package kernel

import "math"

func gelu(dst, up []float32, rows, width int) {
	for at := range dst[:rows*width] {
		dst[at] = geluOf(up[unpacked(at, rows, width)])
	}
}

func swiglu(dst, gate, up []float32, rows, width int) {
	for at := range dst[:rows*width] {
		from := unpacked(at, rows, width)
		dst[at] = siluOf(gate[from]) * up[from]
	}
}

// unpacked is where the value at a place of (width/8, rows, 8) stands in (rows, Stride(width)).
func unpacked(at, rows, width int) int {
	group, row := at/Group/rows, at/Group%rows
	return row*Stride(width) + group*Group + at%Group
}

// geluOf is x·Φ(x) in the tanh form: x/2·(1+tanh z) = x/(1+exp(-2z)).
func geluOf(x float32) float32 {
	v := float64(x)
	z := math.Sqrt2 / math.SqrtPi * (v + 0.044715*v*v*v)
	return float32(v / (1 + math.Exp(-2*z)))
}

// siluOf is x·σ(x).
func siluOf(x float32) float32 {
	v := float64(x)
	return float32(v / (1 + math.Exp(-v)))
}
