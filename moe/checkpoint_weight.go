package moe

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/x448/float16"

	"ufm/internal/safetensors"
)

// weight is one matrix of a checkpoint, checked but not read.
type weight struct {
	file   *safetensors.File
	tensor string
	dtype  DType
	rows   int // outputs
	cols   int // inputs
}

// weight finds a matrix and checks how it is stored.
func (s *shards) weight(tensor string, rows, cols int) (weight, error) {
	return s.find(weight{tensor: tensor, rows: rows, cols: cols}, rows, cols)
}

// vector finds a tensor of one dimension, which is kept as one row.
func (s *shards) vector(tensor string, n, _ int) (weight, error) {
	return s.find(weight{tensor: tensor, rows: 1, cols: n}, n)
}

// find completes w if its tensor has that shape.
func (s *shards) find(w weight, shape ...int) (weight, error) {
	tensor := w.tensor
	file := s.tensors[tensor]
	if file == nil {
		return weight{}, fmt.Errorf("%s: tensor %q is missing", s.listing, tensor)
	}
	t, _ := file.Tensor(tensor)
	if !slices.EqualFunc(t.Shape, shape, func(a int64, b int) bool { return a == int64(b) }) {
		return weight{}, fmt.Errorf("%s: tensor %q has shape %v, %s asks for %v",
			file.Name(), tensor, t.Shape, configFile, shape)
	}
	w.file = file
	switch t.DType {
	case "F32":
		w.dtype = F32
	case "F16":
		w.dtype = F16
	case "BF16":
		w.dtype = BF16
	default:
		return weight{}, fmt.Errorf("%s: tensor %q is stored as %s (supported: F32, F16, BF16)",
			file.Name(), tensor, t.DType)
	}
	return w, nil
}

// values reads the matrix in its natural order.
func (w weight) values() ([]float32, error) { // (rows, cols)
	raw, err := w.file.Bytes(w.tensor)
	if err != nil {
		return nil, err
	}
	v := make([]float32, w.rows*w.cols)
	decode(v, raw, w.dtype)
	if i := slices.IndexFunc(v, notFinite); i >= 0 {
		return nil, fmt.Errorf("%s: tensor %q holds %v at [%d %d]",
			w.file.Name(), w.tensor, v[i], i/w.cols, i%w.cols)
	}
	return v, nil
}

// raw reads the matrix as it is stored to dst.
func (w weight) raw(dst []byte) error {
	if err := w.file.Read(w.tensor, dst); err != nil {
		return err
	}
	exp, carry, le := exponents[w.dtype], uint32(0), binary.LittleEndian
	words := dst[:len(dst)&^3]
	for i := 0; i < len(words); i += 4 {
		carry |= le.Uint32(words[i:])&exp.mask + exp.one
	}
	if rest := dst[len(words):]; len(rest) > 0 { // the last of an odd number
		carry |= uint32(le.Uint16(rest))&exp.mask + exp.one
	}
	if carry&exp.carry != 0 {
		_, err := w.values() // tells which value it is
		return err
	}
	return nil
}

func notFinite(v float32) bool { return v-v != 0 }

// decode reads len(dst) little-endian values.
func decode(dst []float32, raw []byte, t DType) {
	le := binary.LittleEndian
	for i := range dst {
		switch t {
		case F32:
			dst[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		case F16:
			dst[i] = float16.Frombits(le.Uint16(raw[2*i:])).Float32()
		case BF16:
			dst[i] = math.Float32frombits(uint32(le.Uint16(raw[2*i:])) << 16)
		}
	}
}

// exponents finds NaN and infinity, whose exponent bits are all ones: adding one to
// such an exponent carries into the sign bit, and no other exponent's carry gets
// that far. A word holds one f32 or two 16-bit values.
var exponents = [...]struct{ mask, one, carry uint32 }{
	F32:  {0x7f800000, 0x00800000, 0x80000000},
	F16:  {0x7c007c00, 0x04000400, 0x80008000},
	BF16: {0x7f807f80, 0x00800080, 0x80008000},
}

// transpose writes the matrix to dst, (cols, out) in the order of Layout.Index,
// without touching dst's padding, a block of rows at a time.
func (w weight) transpose(dst []byte, out int) error {
	const blockRows = 64
	rowBytes, finite := w.cols*w.dtype.Size(), true
	buf := make([]byte, min(blockRows, w.rows)*rowBytes)
	for first := 0; first < w.rows; first += blockRows {
		rows := min(blockRows, w.rows-first)
		if err := w.file.ReadAt(w.tensor, int64(first*rowBytes), buf[:rows*rowBytes]); err != nil {
			return err
		}
		finite = transposeRows(dst, buf[:rows*rowBytes], w.dtype, first, rows, out) && finite
	}
	if !finite {
		_, err := w.values() // tells which value it is
		return err
	}
	return nil
}
