//go:build cgo && linux

package vulkan

// The push constants of the kernels around the experts, field for field as in the shaders.
type (
	pushDense struct {
		X, Dst, Weight              uint64
		Rows, Inputs, Outputs, Part uint32
	}
	pushResidual struct {
		Base, H, X, Norm, Added, Index, Weights uint64
		DModel, N, Tokens                       uint32
		Epsilon                                 float32
	}
	pushLikeliest struct {
		Logits, Peaks, Dst uint64
		Vocab              uint32
	}
	pushRope struct {
		QKV, Q, Keys, Values, Turns, QNorm, KNorm uint64
		Heads, KVHeads, Dim, Tokens, Parts, Width uint32
		Position, Context, Norm                   uint32
		Epsilon                                   float32
	}
	pushAttend struct {
		Q, Keys, Values, Dst, State                    uint64
		Heads, PerKey, Tokens, Position, Context, Span uint32
		Stride                                         uint32
		Scale                                          float32
	}
	pushMerge struct {
		Acc, State, Dst                    uint64
		Splits, Tokens, Heads, Dim, Stride uint32
	}
)
