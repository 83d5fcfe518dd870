package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	lengthBytes = 8           // the header's length, little-endian
	maxHeader   = 100_000_000 // what the reference implementation accepts
	metadataKey = "__metadata__"
)

// bitsOf is the size of one value of each dtype, in bits.
var bitsOf = map[string]int64{
	"BOOL": 8, "U8": 8, "I8": 8,
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
	"F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
	"I16": 16, "U16": 16, "F16": 16, "BF16": 16,
	"I32": 32, "U32": 32, "F32": 32,
	"I64": 64, "U64": 64, "F64": 64, "C64": 64,
}

// readHeader returns the JSON, once its length is known to fit the file.
func readHeader(r io.ReaderAt, size int64) ([]byte, error) {
	if size < lengthBytes {
		return nil, fmt.Errorf("file of %d bytes is too short for a header", size)
	}
	var length [lengthBytes]byte
	if n, err := r.ReadAt(length[:], 0); n < lengthBytes {
		return nil, fmt.Errorf("header length: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	switch {
	case n == 0:
		return nil, errors.New("header is empty")
	case n > uint64(size-lengthBytes):
		return nil, fmt.Errorf("header claims %d bytes, %d follow: the file is truncated, "+
			"or no safetensors file", n, size-lengthBytes)
	case n > maxHeader:
		return nil, fmt.Errorf("header of %d bytes is above the format's limit of %d", n, maxHeader)
	}
	header := make([]byte, n)
	if got, err := r.ReadAt(header, lengthBytes); got < len(header) {
		return nil, fmt.Errorf("header: %w", err)
	}
	if !utf8.Valid(header) {
		return nil, errors.New("header is not UTF-8 text")
	}
	return header, nil
}

// parseHeader reads the header key by key, because encoding/json would silently
// keep the last of two tensors of one name.
func parseHeader(header []byte) ([]Tensor, map[string]string, error) {
	dec := json.NewDecoder(bytes.NewReader(header))
	dec.UseNumber()
	var tensors []Tensor
	metadata := map[string]string{}
	err := object(dec, func(key string) (err error) {
		if key == metadataKey {
			metadata, err = parseMetadata(dec)
			return err
		}
		t, err := parseTensor(dec, key)
		tensors = append(tensors, t)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, errors.New("header: text follows its JSON object")
	}
	return tensors, metadata, nil
}

// object calls field for each key of the object that follows; field must consume
// the key's value. Each key may stand there once.
func object(dec *json.Decoder, field func(key string) error) error {
	open, err := dec.Token()
	if err != nil {
		return syntax(err)
	}
	if open != json.Delim('{') {
		return fmt.Errorf("a JSON object is wanted, not %v", open)
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return syntax(err)
		}
		key := token.(string) // the decoder accepts nothing else here
		if seen[key] {
			return fmt.Errorf("key %q stands there twice", key)
		}
		seen[key] = true
		if err := field(key); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return syntax(err)
	}
	return nil
}

// syntax turns the end of the text, which is where a cut header ends, into an error
// that says so.
func syntax(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("JSON: %w", err)
}

func parseMetadata(dec *json.Decoder) (map[string]string, error) {
	m := map[string]string{}
	err := object(dec, func(key string) error {
		token, err := dec.Token()
		if err != nil {
			return syntax(err)
		}
		value, ok := token.(string)
		if !ok {
			return fmt.Errorf("metadata %q is not a string", key)
		}
		m[key] = value
		return nil
	})
	return m, err
}

// parseTensor reads one tensor's entry and checks what needs no other tensor.
func parseTensor(dec *json.Decoder, name string) (Tensor, error) {
	t := Tensor{Name: name}
	var offsets []int64
	err := object(dec, func(key string) error {
		var value any
		if err := dec.Decode(&value); err != nil {
			return syntax(err)
		}
		var err error
		switch key {
		case "dtype":
			t.DType, _ = value.(string) // "" is refused below, as any unknown dtype
		case "shape":
			t.Shape, err = integers(key, value)
		case "data_offsets":
			offsets, err = integers(key, value)
		}
		return err
	})
	if err == nil {
		err = t.place(offsets)
	}
	if err != nil {
		return t, fmt.Errorf("tensor %q: %w", name, err)
	}
	return t, nil
}

// integers takes a list of whole numbers that are not negative.
func integers(key string, value any) ([]int64, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("%s is not a list of whole numbers", key)
	}
	out := make([]int64, len(list))
	for i, v := range list {
		number, ok := v.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%s: %v is not a whole number", key, v)
		}
		n, err := strconv.ParseInt(number.String(), 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%s: %s is not a whole number from 0 to %d",
				key, number, int64(math.MaxInt64))
		}
		out[i] = n
	}
	return out, nil
}

// place sets the tensor's offsets, which must span what its shape needs.
func (t *Tensor) place(offsets []int64) error {
	if t.Shape == nil {
		return errors.New("has no shape")
	}
	if len(offsets) != 2 || offsets[0] > offsets[1] {
		return fmt.Errorf("data_offsets %v are not a begin and an end", offsets)
	}
	t.begin, t.end = offsets[0], offsets[1]
	want, err := sizeOf(t.DType, t.Shape)
	if err != nil {
		return err
	}
	if want != t.Bytes() {
		return fmt.Errorf("%s %v needs %d bytes, its data_offsets %v span %d",
			t.DType, t.Shape, want, offsets, t.Bytes())
	}
	return nil
}

// sizeOf is the bytes of a tensor.
func sizeOf(dtype string, shape []int64) (int64, error) {
	width, ok := bitsOf[dtype]
	if !ok {
		return 0, fmt.Errorf("unknown dtype %q", dtype)
	}
	if slices.Contains(shape, 0) {
		return 0, nil
	}
	size := uint64(width)
	for _, n := range shape {
		if n < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		hi, lo := bits.Mul64(size, uint64(n))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("shape %v overflows", shape)
		}
		size = lo
	}
	if size%8 != 0 {
		return 0, fmt.Errorf("%s %v does not fill whole bytes", dtype, shape)
	}
	return int64(size / 8), nil
}

// checkTiling checks that the tensors cover the data bytes after the header exactly
// once, as the format demands. It sorts them by position.
func checkTiling(tensors []Tensor, data int64) error {
	slices.SortFunc(tensors, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	end, last := int64(0), "the header" // last: what stands before, as errors call it
	for _, t := range tensors {
		switch {
		case t.end > data:
			return fmt.Errorf("tensor %q ends at byte %d, the file has %d: "+
				"truncated, or the header lies", t.Name, t.end, data)
		case t.begin < end:
			return fmt.Errorf("tensor %q overlaps %s", t.Name, last)
		case t.begin > end:
			return fmt.Errorf("tensor %q leaves a hole of %d bytes after %s",
				t.Name, t.begin-end, last)
		}
		end, last = t.end, strconv.Quote(t.Name)
	}
	if end != data {
		return fmt.Errorf("%d bytes after %s belong to no tensor", data-end, last)
	}
	return nil
}
