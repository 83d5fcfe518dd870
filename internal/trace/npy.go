package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ImportNPY reads the routed experts that vLLM returns (--enable-return-routed-experts),
// saved by numpy.save: one array (tokens, layers, top_k) of ids, int16 or, from later
// versions, uint8 or uint16. A row of -1 is a token that vLLM did not route, because its
// prefix was cached. Errors call the file name and tell the byte.
//
// The file has neither a count of experts nor steps: the caller tells the experts, and
// how many of the first tokens are one step of prefill. Each other token is a step of
// decode.
func ImportNPY(r io.ReaderAt, size int64, name string, experts, prefill int) (*Trace, error) {
	t, err := importNPY(r, size, experts, prefill)
	if err != nil {
		return nil, fmt.Errorf("trace: %s: %w", name, err)
	}
	return t, nil
}

func importNPY(r io.ReaderAt, size int64, experts, prefill int) (*Trace, error) {
	h, err := readNPYHeader(r, size)
	if err != nil {
		return nil, err
	}
	if err := h.check(size); err != nil {
		return nil, fmt.Errorf("byte %d: %w", h.data, err)
	}
	t := &Trace{Layers: int(h.shape[1]), Experts: experts, TopK: int(h.shape[2])}
	tokens := h.shape[0]
	if prefill < 0 || int64(prefill) > tokens {
		return nil, fmt.Errorf("a prefill of %d tokens in a trace of %d", prefill, tokens)
	}
	if err := t.readIDs(r, h); err != nil {
		return nil, err
	}
	t.split(prefill)
	err = t.validate()
	var row *rowError
	if errors.As(err, &row) {
		at := h.data + int64(row.index)*h.width()
		err = fmt.Errorf("byte %d: token %d, layer %d: %w", at, row.token, row.layer, row.err)
	}
	return t, err
}

// check checks that the array is a trace's and that the file holds all of it.
func (h npyHeader) check(size int64) error {
	switch {
	case h.width() == 0:
		return fmt.Errorf("dtype %s, want <i2 (or |u1, <u2): a.astype('<i2')", h.dtype)
	case h.fortran:
		return errors.New("the array is in Fortran order: save numpy.ascontiguousarray(a)")
	case len(h.shape) != 3:
		return fmt.Errorf("shape %v, want (tokens, layers, top_k)", h.shape)
	case h.shape[0] == 0:
		return errors.New("no tokens")
	case h.shape[1] == 0 || h.shape[2] == 0 ||
		h.shape[1] > math.MaxInt16 || h.shape[2] > math.MaxInt16:
		return fmt.Errorf("shape %v: want 1 to %d layers and top-k", h.shape, math.MaxInt16)
	case h.shape[0] > math.MaxInt32:
		return fmt.Errorf("%d tokens are more than %d", h.shape[0], math.MaxInt32)
	}
	want := h.shape[0] * h.shape[1] * h.shape[2] * h.width() // below 2⁶³: see above
	have := size - h.data
	if have < want {
		return fmt.Errorf("shape %v needs %d bytes, %d follow: the file is truncated",
			h.shape, want, have)
	}
	if have > want {
		return fmt.Errorf("shape %v needs %d bytes, %d follow", h.shape, want, have)
	}
	return nil
}

// readIDs reads the array, whose size is known to be right.
func (t *Trace) readIDs(r io.ReaderAt, h npyHeader) error {
	t.Chosen = make([]int16, h.shape[0]*h.shape[1]*h.shape[2])
	width := h.width()
	chunk := make([]byte, min(int64(len(t.Chosen))*width, chunkBytes))
	for i := 0; i < len(t.Chosen); {
		at := h.data + int64(i)*width
		n := min(len(t.Chosen)-i, len(chunk)/int(width))
		if got, err := r.ReadAt(chunk[:int64(n)*width], at); int64(got) < int64(n)*width {
			return fmt.Errorf("byte %d: %w", at+int64(got), err)
		}
		for j := range n {
			id, err := h.id(chunk[int64(j)*width:])
			if err != nil {
				return fmt.Errorf("byte %d: %w", at+int64(j)*width, err)
			}
			t.Chosen[i+j] = id
		}
		i += n
	}
	return nil
}

// id decodes one value.
func (h npyHeader) id(raw []byte) (int16, error) {
	if h.dtype == "|u1" {
		return int16(raw[0]), nil
	}
	v := binary.LittleEndian.Uint16(raw)
	if h.dtype == "<u2" && v > math.MaxInt16 {
		return 0, fmt.Errorf("expert %d is above %d", v, math.MaxInt16)
	}
	return int16(v), nil
}

// split makes the first tokens one step of prefill, and each other one a step of decode.
func (t *Trace) split(prefill int) {
	if prefill > 0 {
		t.StepSizes = append(t.StepSizes, int32(prefill))
		t.Phases = append(t.Phases, Prefill)
	}
	for range t.Tokens() - prefill {
		t.StepSizes = append(t.StepSizes, 1)
		t.Phases = append(t.Phases, Decode)
	}
}
