package trace

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"

	"ufm/internal/safetensors"
)

// Write writes t, which must be valid, as a file. The same trace gives the same bytes.
func (t *Trace) Write(w io.Writer) error {
	if err := t.validate(); err != nil {
		return fmt.Errorf("trace: write: %w", err)
	}
	meta := map[string]string{
		"layers": strconv.Itoa(t.Layers), "experts": strconv.Itoa(t.Experts),
		"top_k": strconv.Itoa(t.TopK),
	}
	if t.Model != "" {
		meta["model"] = t.Model
	}
	tokens, steps := int64(t.Tokens()), int64(len(t.StepSizes))
	rows := []int64{tokens, int64(t.Layers), int64(t.TopK)}
	data := []safetensors.Data{
		{Name: "experts", DType: "I16", Shape: rows, Values: values[int16](t.Chosen)},
		{Name: "step_tokens", DType: "I32", Shape: []int64{steps},
			Values: values[int32](t.StepSizes)},
		{Name: "step_phase", DType: "U8", Shape: []int64{steps}, Values: values[Phase](t.Phases)},
	}
	add := func(is bool, d safetensors.Data) {
		if is {
			data = append(data, d)
		}
	}
	add(len(t.Weights) > 0, safetensors.Data{
		Name: "weights", DType: "F16", Shape: rows, Values: values[uint16](t.Weights),
	})
	add(len(t.Predicted) > 0, safetensors.Data{
		Name: "predicted", DType: "I16", Shape: rows, Values: values[int16](t.Predicted),
	})
	add(len(t.InputIDs) > 0, safetensors.Data{
		Name: "input_ids", DType: "I32", Shape: rows[:1], Values: values[int32](t.InputIDs),
	})
	if err := safetensors.Write(w, meta, data); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}

// values is a tensor that is written little-endian, a chunk at a time.
type values[T any] []T

// WriteTo implements io.WriterTo.
func (v values[T]) WriteTo(w io.Writer) (n int64, err error) {
	var one T
	most := chunkBytes / binary.Size(one)
	var chunk []byte
	for len(v) > 0 && err == nil {
		part := v[:min(len(v), most)]
		if chunk, err = binary.Append(chunk[:0], binary.LittleEndian, []T(part)); err == nil {
			_, err = w.Write(chunk)
		}
		n, v = n+int64(len(chunk)), v[len(part):]
	}
	return n, err
}
