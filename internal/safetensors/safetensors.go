// Package safetensors reads and writes safetensors files: a length, a JSON header
// that names tensors, and their bytes, little-endian and without holes.
//
//	f, err := safetensors.Open(file, size, "model.safetensors")
//	t, ok := f.Tensor("lm_head.weight") // t.DType "BF16", t.Shape [512 64]
//	raw, err := f.Bytes(t.Name)
//
// Open checks the whole header against the size of the file before any tensor is
// read, so a File that it returns has no lies in it: every tensor lies inside the
// file, none overlaps another, and each has as many bytes as its shape needs.
// Values are not converted. A File may be read from several goroutines.
package safetensors

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// Tensor describes one tensor of a file.
type Tensor struct {
	Name  string
	DType string  // as the format spells it: "F32", "BF16", "I16"
	Shape []int64 // outermost first; empty: a scalar

	begin, end int64 // bytes within the data that follows the header
}

// Bytes is the size of the tensor's data.
func (t Tensor) Bytes() int64 { return t.end - t.begin }

// File is an opened safetensors file.
type File struct {
	r        io.ReaderAt
	name     string
	data     int64 // where the data starts in the file
	tensors  map[string]Tensor
	metadata map[string]string
}

// Open reads and checks the header of the size bytes behind r, which stays the
// caller's to close. Errors call the file name.
func Open(r io.ReaderAt, size int64, name string) (*File, error) {
	header, err := readHeader(r, size)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", name, err)
	}
	tensors, metadata, err := parseHeader(header)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", name, err)
	}
	data := lengthBytes + int64(len(header))
	if err := checkTiling(tensors, size-data); err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", name, err)
	}
	f := &File{r: r, name: name, data: data, metadata: metadata}
	f.tensors = make(map[string]Tensor, len(tensors))
	for _, t := range tensors {
		f.tensors[t.Name] = t
	}
	return f, nil
}

// Name is the name that the file was opened with.
func (f *File) Name() string { return f.name }

// Names lists the tensors in alphabetical order.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.tensors)) }

// Metadata is the free text that the header carries. It belongs to the file.
func (f *File) Metadata() map[string]string { return f.metadata }

// Tensor describes the tensor of that name. Its shape belongs to the file.
func (f *File) Tensor(name string) (Tensor, bool) {
	t, ok := f.tensors[name]
	return t, ok
}

// Offset is where the tensor's bytes begin in the file, for errors that point there.
func (f *File) Offset(name string) int64 { return f.data + f.tensors[name].begin }

// Bytes returns the whole of a tensor.
func (f *File) Bytes(name string) ([]byte, error) {
	t, ok := f.tensors[name]
	if !ok {
		return nil, f.missing(name)
	}
	dst := make([]byte, t.Bytes())
	return dst, f.ReadAt(name, 0, dst)
}

// Read fills dst, which must be exactly as long as the tensor, with its bytes.
func (f *File) Read(name string, dst []byte) error {
	if t, ok := f.tensors[name]; ok && t.Bytes() != int64(len(dst)) {
		return fmt.Errorf("safetensors: %s: tensor %q has %d bytes, the buffer %d",
			f.name, name, t.Bytes(), len(dst))
	}
	return f.ReadAt(name, 0, dst)
}

// ReadAt fills dst with the tensor's bytes from off on.
func (f *File) ReadAt(name string, off int64, dst []byte) error {
	t, ok := f.tensors[name]
	if !ok {
		return f.missing(name)
	}
	if off < 0 || off > t.Bytes() || int64(len(dst)) > t.Bytes()-off {
		return fmt.Errorf("safetensors: %s: tensor %q: %d bytes from %d exceed its %d",
			f.name, name, len(dst), off, t.Bytes())
	}
	if len(dst) == 0 {
		return nil
	}
	if n, err := f.r.ReadAt(dst, f.data+t.begin+off); n < len(dst) {
		return fmt.Errorf("safetensors: %s: tensor %q: %w", f.name, name, err)
	}
	return nil
}

func (f *File) missing(name string) error {
	return fmt.Errorf("safetensors: %s: no tensor %q", f.name, name)
}
