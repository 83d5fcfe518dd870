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
	tensors := []safetensors.Data{
		{Name: "experts", DType: "I16", Shape: rows},
		{Name: "step_tokens", DType: "I32", Shape: []int64{steps}},
		{Name: "step_phase", DType: "U8", Shape: []int64{steps}},
	}
	if len(t.Weights) > 0 {
		tensors = append(tensors, safetensors.Data{Name: "weights", DType: "F16", Shape: rows})
	}
	if len(t.Predicted) > 0 {
		tensors = append(tensors, safetensors.Data{Name: "predicted", DType: "I16", Shape: rows})
	}
	if len(t.InputIDs) > 0 {
		tensors = append(tensors, safetensors.Data{Name: "input_ids", DType: "I32", Shape: rows[:1]})
	}
	e := encoder{t: t}
	if err := safetensors.WriteEach(w, meta, tensors, e.bytes); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}

// encoder makes the bytes of one tensor at a time.
type encoder struct {
	t   *Trace
	raw []byte // of the last one
}

func (e *encoder) bytes(tensor safetensors.Data) (raw []byte, err error) {
	values := map[string]any{
		"experts": e.t.Chosen, "weights": e.t.Weights, "predicted": e.t.Predicted,
		"input_ids": e.t.InputIDs, "step_tokens": e.t.StepSizes, "step_phase": e.t.Phases,
	}
	e.raw, err = binary.Append(e.raw[:0], binary.LittleEndian, values[tensor.Name])
	return e.raw, err
}
