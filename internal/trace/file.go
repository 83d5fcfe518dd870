package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"ufm/internal/safetensors"
)

// chunkBytes is how much of a file is held beside the decoded values: a multiple of
// every value's size.
const chunkBytes = 1 << 20

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
	return t, locate(f, t.validate())
}

// locate adds to an error of a row where in the file it stands.
func locate(f *safetensors.File, err error) error {
	var row *rowError
	if !errors.As(err, &row) {
		return err
	}
	at := f.Offset(row.tensor) + int64(row.index)*2 // ids are I16
	return fmt.Errorf("byte %d: %w", at, err)
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
	var one T
	width := int64(binary.Size(one))
	values := make([]T, t.Bytes()/width)
	chunk := make([]byte, min(t.Bytes(), chunkBytes))
	for off := int64(0); off < t.Bytes(); off += int64(len(chunk)) {
		chunk = chunk[:min(int64(len(chunk)), t.Bytes()-off)]
		if err := f.ReadAt(name, off, chunk); err != nil {
			return nil, err
		}
		if _, err := binary.Decode(
			chunk, binary.LittleEndian, values[off/width:(off+int64(len(chunk)))/width]); err != nil {
			return nil, err
		}
	}
	return values, nil
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
