package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"ufm/internal/safetensors"
)

// Open reads the trace in the file at path.
func Open(path string) (*Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	return Read(f, info.Size(), path)
}

// Read reads a trace of size bytes. Errors call it name.
func Read(r io.ReaderAt, size int64, name string) (*Trace, error) {
	file, err := safetensors.Open(r, size, name)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	t, err := decode(file)
	if err != nil {
		return nil, fmt.Errorf("trace: %s: %w", name, err)
	}
	return t, nil
}

func decode(f *safetensors.File) (*Trace, error) {
	t := &Trace{Model: f.Metadata()["model"]}
	var errs [3]error
	t.Layers, errs[0] = number(f, "layers")
	t.Experts, errs[1] = number(f, "experts")
	t.TopK, errs[2] = number(f, "top_k")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if err := t.decodeTensors(f); err != nil {
		return nil, err
	}
	t.completeSteps()
	return t, t.validate()
}

// number reads a metadata string that must be a whole number.
func number(f *safetensors.File, key string) (int, error) {
	text, ok := f.Metadata()[key]
	if !ok {
		return 0, fmt.Errorf("metadata has no %q", key)
	}
	v, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("metadata %q is %q, want a whole number", key, text)
	}
	return v, nil
}

func (t *Trace) decodeTensors(f *safetensors.File) error {
	experts, ok := f.Tensor("experts")
	if !ok {
		return fmt.Errorf("no tensor %q", "experts")
	}
	if len(experts.Shape) == 0 {
		return fmt.Errorf("tensor experts: shape [], want [tokens %d %d]", t.Layers, t.TopK)
	}
	tokens, layers, topK := experts.Shape[0], int64(t.Layers), int64(t.TopK)
	var err error
	if t.Chosen, err = tensor[int16](f, "experts", "I16", tokens, layers, topK); err != nil {
		return err
	}
	if t.Weights, err = tensor[uint16](f, "weights", "F16", tokens, layers, topK); err != nil {
		return err
	}
	if t.Predicted, err = tensor[int16](f, "predicted", "I16", tokens, layers, topK); err != nil {
		return err
	}
	if t.InputIDs, err = tensor[int32](f, "input_ids", "I32", tokens); err != nil {
		return err
	}
	if t.StepSizes, err = tensor[int32](f, "step_tokens", "I32", -1); err != nil {
		return err
	}
	t.Phases, err = tensor[Phase](f, "step_phase", "U8", -1)
	return err
}

// tensor reads a tensor of that type and shape, or nil where the file has none. A
// dimension of -1 may have any size.
func tensor[T any](f *safetensors.File, name, dtype string, shape ...int64) ([]T, error) {
	t, ok := f.Tensor(name)
	if !ok {
		return nil, nil
	}
	if t.DType != dtype {
		return nil, fmt.Errorf("tensor %s: dtype %s, want %s", name, t.DType, dtype)
	}
	fits := len(t.Shape) == len(shape)
	for i := 0; fits && i < len(shape); i++ {
		fits = shape[i] == -1 || t.Shape[i] == shape[i]
	}
	if !fits {
		return nil, fmt.Errorf("tensor %s: shape %v, want %v", name, t.Shape, shape)
	}
	raw, err := f.Bytes(name)
	if err != nil {
		return nil, err
	}
	var one T
	values := make([]T, len(raw)/binary.Size(one))
	_, err = binary.Decode(raw, binary.LittleEndian, values)
	return values, err
}

// completeSteps fills in what absent step tensors mean.
func (t *Trace) completeSteps() {
	if t.StepSizes == nil {
		t.StepSizes = make([]int32, t.Tokens())
		for i := range t.StepSizes {
			t.StepSizes[i] = 1
		}
	}
	if t.Phases == nil {
		t.Phases = make([]Phase, len(t.StepSizes))
		for i, size := range t.StepSizes {
			if size == 1 {
				t.Phases[i] = Decode
			}
		}
	}
}

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
		{Name: "experts", DType: "I16", Shape: rows, Bytes: encode(t.Chosen)},
		{Name: "step_tokens", DType: "I32", Shape: []int64{steps}, Bytes: encode(t.StepSizes)},
		{Name: "step_phase", DType: "U8", Shape: []int64{steps}, Bytes: encode(t.Phases)},
	}
	add := func(name, dtype string, shape []int64, raw []byte) {
		if len(raw) > 0 {
			data = append(data, safetensors.Data{
				Name: name, DType: dtype, Shape: shape, Bytes: raw,
			})
		}
	}
	add("weights", "F16", rows, encode(t.Weights))
	add("predicted", "I16", rows, encode(t.Predicted))
	add("input_ids", "I32", rows[:1], encode(t.InputIDs))
	if err := safetensors.Write(w, meta, data); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}

// encode is the little-endian bytes of values.
func encode[T any](values []T) []byte {
	raw, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		panic("trace: " + err.Error()) // T has a fixed size
	}
	return raw
}
