//go:build cgo && linux

package vulkan

import (
	"reflect"

	"ufm/vk"
)

// The push constants of the kernels, field for field as in the shaders (scalar layout:
// eight-byte fields first, so there is no padding but at the end).
type (
	pushGate struct {
		X, Gate, Logits     uint64
		D4, Tokens, Experts uint32
	}
	pushTopK struct {
		Logits, Given, Ids, Weights uint64
		Experts, TopK, Normalize    uint32
	}
	pushGroup struct {
		Ids, Counts, Rows, Position   uint64
		Plan, Slots                   uint64
		Choices, TopK, Experts, Quads uint32
		Rounded                       uint32
	}
	pushGather struct {
		X, Rows, Gathered uint64
		D                 uint32
	}
	pushExpert struct {
		Tiles, Src, Dst, Weight, Gate uint64
		Inputs, Outputs, First        uint32
	}
	pushCombine struct {
		Y, Position, Weights, X, Next, Moe uint64
		DModel, Chained                    uint32
	}
	pushFragments struct {
		Dst uint64
	}
	pushRead struct {
		Src, Dst uint64
	}
	pushMatrixFlops struct {
		Dst    uint64
		Rounds uint32
	}
	pushFlops struct {
		Dst    uint64
		Rounds uint32
		Factor float32
	}
)

// pushSize is the size of a push constant block in bytes.
func pushSize(push any) int { return int(reflect.TypeOf(push).Size()) }

// pushBytes encodes a push constant block.
func pushBytes[T any](push T) []byte { return vk.PushConstants(&push) }
