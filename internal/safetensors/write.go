package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// Data is a tensor to be written.
type Data struct {
	Name  string
	DType string
	Shape []int64
	Bytes []byte // little-endian, outermost dimension first
}

// entry is a tensor in the header.
type entry struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// Write writes a file. The same content gives the same bytes, whatever the order of
// tensors: wide values come first, so that each tensor is aligned to its values.
func Write(w io.Writer, metadata map[string]string, tensors []Data) error {
	for _, t := range tensors {
		if err := t.checkBytes(int64(len(t.Bytes))); err != nil {
			return err
		}
	}
	return WriteEach(w, metadata, tensors, func(t Data) ([]byte, error) { return t.Bytes, nil })
}

// WriteEach is Write for tensors that do not fit in memory together: their Bytes are
// not read, but asked for one by one, in the order of the file. What the function
// returns may be overwritten when it is called again.
func WriteEach(w io.Writer, metadata map[string]string, tensors []Data,
	bytes func(t Data) ([]byte, error)) error {
	sorted := slices.Clone(tensors)
	slices.SortFunc(sorted, func(a, b Data) int {
		return cmp.Or(cmp.Compare(bitsOf[b.DType], bitsOf[a.DType]), cmp.Compare(a.Name, b.Name))
	})
	header, err := encodeHeader(metadata, sorted)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("safetensors: write header: %w", err)
	}
	for _, t := range sorted {
		raw, err := bytes(t)
		if err == nil {
			err = t.checkBytes(int64(len(raw)))
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(raw); err != nil {
			return fmt.Errorf("safetensors: write tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// encodeHeader is the length and the JSON, padded with spaces to 8 bytes.
func encodeHeader(metadata map[string]string, tensors []Data) ([]byte, error) {
	header := bytes.NewBuffer(make([]byte, lengthBytes, 4096))
	header.WriteByte('{')
	if len(metadata) > 0 {
		if err := encodeField(header, metadataKey, metadata); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{metadataKey: true}
	end := int64(0)
	for _, t := range tensors {
		size, err := t.check(seen)
		if err != nil {
			return nil, fmt.Errorf("safetensors: write tensor %q: %w", t.Name, err)
		}
		e := entry{DType: t.DType, Shape: t.Shape}
		if e.Shape == nil {
			e.Shape = []int64{} // nil would become null
		}
		e.Offsets = [2]int64{end, end + size}
		end = e.Offsets[1]
		if err := encodeField(header, t.Name, e); err != nil {
			return nil, err
		}
	}
	header.WriteByte('}')
	for header.Len()%8 != 0 {
		header.WriteByte(' ')
	}
	out := header.Bytes()
	if n := len(out) - lengthBytes; n > maxHeader {
		return nil, fmt.Errorf("safetensors: header of %d bytes is above the format's limit of %d",
			n, maxHeader)
	}
	binary.LittleEndian.PutUint64(out, uint64(len(out)-lengthBytes))
	return out, nil
}

func encodeField(header *bytes.Buffer, key string, value any) error {
	k, err := json.Marshal(key)
	if err != nil {
		return fmt.Errorf("safetensors: header key %q: %w", key, err)
	}
	v, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("safetensors: header %q: %w", key, err)
	}
	if header.Len() > lengthBytes+1 {
		header.WriteByte(',')
	}
	header.Write(k)
	header.WriteByte(':')
	header.Write(v)
	return nil
}

// check refuses what Open would refuse, notes the name in seen and returns the size.
func (t Data) check(seen map[string]bool) (size int64, err error) {
	if seen[t.Name] {
		return 0, errors.New("the name is taken")
	}
	seen[t.Name] = true
	if !utf8.ValidString(t.Name) {
		return 0, errors.New("the name is not UTF-8 text")
	}
	return sizeOf(t.DType, t.Shape)
}

// checkBytes refuses data of another size than the tensor's.
func (t Data) checkBytes(size int64) error {
	want, err := sizeOf(t.DType, t.Shape)
	if err == nil && want != size {
		err = fmt.Errorf("%s %v needs %d bytes, not %d", t.DType, t.Shape, want, size)
	}
	if err != nil {
		return fmt.Errorf("safetensors: write tensor %q: %w", t.Name, err)
	}
	return nil
}
