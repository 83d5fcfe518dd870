package moe

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"ufm/internal/safetensors"
)

// Activations are what an independent implementation computed with a checkpoint:
// the input and the output of each MoE layer for a few tokens.
type Activations struct {
	Tokens  int
	Input   [][]float32 // by layer: (tokens, d_model)
	Output  [][]float32 // by layer: (tokens, d_model), before the residual
	Experts [][]int16   // by layer: (tokens, top_k), in top-k order; nil: not recorded
	Weights [][]float32 // by layer: (tokens, top_k); nil: not recorded
}

// OpenActivations reads a recording, a safetensors file of tensors such as
// layers.0.moe_input, and checks that it fits a model of shape s. Nothing of r is
// needed afterwards. Errors call the file name.
func OpenActivations(r io.ReaderAt, size int64, name string, s Shape) (*Activations, error) {
	file, err := safetensors.Open(r, size, name)
	if err != nil {
		return nil, fmt.Errorf("moe: activations: %w", err)
	}
	a := &Activations{}
	if err := a.read(&recording{file, s, -1}); err != nil {
		return nil, fmt.Errorf("moe: activations: %s: %w", name, err)
	}
	return a, nil
}

func (a *Activations) read(r *recording) error {
	s := r.shape
	routed, weighted := r.has("layers.0.experts"), r.has("layers.0.weights")
	for l := range s.Layers {
		for _, part := range []struct {
			dst    *[][]float32
			name   string
			cols   int
			wanted bool
		}{
			{&a.Input, "moe_input", s.DModel, true},
			{&a.Output, "moe_output", s.DModel, true},
			{&a.Weights, "weights", s.TopK, weighted},
		} {
			if !part.wanted {
				continue
			}
			v, err := r.floats(fmt.Sprintf("layers.%d.%s", l, part.name), part.cols)
			if err != nil {
				return err
			}
			*part.dst = append(*part.dst, v)
		}
		if routed {
			ids, err := r.experts(fmt.Sprintf("layers.%d.experts", l))
			if err != nil {
				return err
			}
			a.Experts = append(a.Experts, ids)
		}
	}
	if more := fmt.Sprintf("layers.%d.moe_input", s.Layers); r.has(more) {
		return fmt.Errorf("tensor %q is there, but the model has %d layers", more, s.Layers)
	}
	a.Tokens = int(r.tokens)
	return nil
}

// recording is a file of activations while it is checked against a model.
type recording struct {
	file   *safetensors.File
	shape  Shape
	tokens int64 // rows of every tensor; -1: none seen yet
}

func (r *recording) has(name string) bool {
	_, ok := r.file.Tensor(name)
	return ok
}

// floats reads a (tokens, cols) tensor of finite values.
func (r *recording) floats(name string, cols int) ([]float32, error) {
	raw, err := r.rows(name, "F32", cols)
	if err != nil {
		return nil, err
	}
	v := make([]float32, len(raw)/4)
	decode(v, raw, F32)
	if i := slices.IndexFunc(v, notFinite); i >= 0 {
		return nil, fmt.Errorf("tensor %q holds %v at [%d %d]", name, v[i], i/cols, i%cols)
	}
	return v, nil
}

// experts reads a (tokens, top_k) tensor of expert indexes within the layer.
func (r *recording) experts(name string) ([]int16, error) {
	raw, err := r.rows(name, "I16", r.shape.TopK)
	if err != nil {
		return nil, err
	}
	ids := make([]int16, len(raw)/2)
	for i := range ids {
		ids[i] = int16(binary.LittleEndian.Uint16(raw[2*i:]))
		if ids[i] < 0 || int(ids[i]) >= r.shape.Experts {
			return nil, fmt.Errorf("tensor %q names expert %d, the model's layers have %d",
				name, ids[i], r.shape.Experts)
		}
	}
	return ids, nil
}

// rows returns a tensor's bytes if it has the right type, width and as many rows as
// those before it.
func (r *recording) rows(name, dtype string, cols int) ([]byte, error) {
	t, ok := r.file.Tensor(name)
	if !ok {
		return nil, fmt.Errorf("tensor %q is missing (the model has %d layers)",
			name, r.shape.Layers)
	}
	if r.tokens < 0 && len(t.Shape) > 0 {
		r.tokens = t.Shape[0]
	}
	want := []int64{r.tokens, int64(cols)}
	if t.DType != dtype || !slices.Equal(t.Shape, want) {
		return nil, fmt.Errorf("tensor %q is %s %v, for this model it must be %s %v",
			name, t.DType, t.Shape, dtype, want)
	}
	if r.tokens == 0 {
		return nil, fmt.Errorf("tensor %q has no tokens", name)
	}
	return r.file.Bytes(name)
}
