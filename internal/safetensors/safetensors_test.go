package safetensors

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// file builds a file from a header's text, however wrong, and n bytes of data.
func file(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

func open(t *testing.T, b []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(b), int64(len(b)), "x.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// sample has a tensor of each kind that has broken readers before: a scalar, an
// empty one, an odd number of bytes.
func sample() (map[string]string, []Data) {
	return map[string]string{"layers": "2", "model": "a \"quoted\" <name>"}, []Data{
		{Name: "odd", DType: "U8", Shape: []int64{3}, Bytes: []byte{1, 2, 3}},
		{Name: "b", DType: "F32", Shape: []int64{1, 2}, Bytes: []byte{0, 1, 2, 3, 4, 5, 6, 7}},
		{Name: "a", DType: "F32", Shape: nil, Bytes: []byte{9, 9, 9, 9}},
		{Name: "empty", DType: "BF16", Shape: []int64{4, 0}},
		{Name: "wide", DType: "I64", Shape: []int64{1}, Bytes: []byte{8, 7, 6, 5, 4, 3, 2, 1}},
	}
}

func TestWriteThenOpen(t *testing.T) {
	metadata, tensors := sample()
	var b bytes.Buffer
	if err := Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	f := open(t, b.Bytes())
	if diff := cmp.Diff(metadata, f.Metadata()); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b", "empty", "odd", "wide"}, f.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	for _, want := range tensors {
		got, ok := f.Tensor(want.Name)
		raw, err := f.Bytes(want.Name)
		if !ok || err != nil {
			t.Fatalf("tensor %q: found %v, error %v", want.Name, ok, err)
		}
		if got.DType != want.DType || len(got.Shape) != len(want.Shape) {
			t.Errorf("tensor %q is %s %v, want %s %v",
				want.Name, got.DType, got.Shape, want.DType, want.Shape)
		}
		if !bytes.Equal(raw, want.Bytes) {
			t.Errorf("tensor %q = %v, want %v", want.Name, raw, want.Bytes)
		}
		if at, width := f.data+got.begin, bitsOf[got.DType]/8; at%width != 0 {
			t.Errorf("tensor %q starts at %d, not aligned to %d", want.Name, at, width)
		}
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	metadata, tensors := sample()
	var first, second bytes.Buffer
	if err := Write(&first, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	tensors[0], tensors[4] = tensors[4], tensors[0]
	if err := Write(&second, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the order of the arguments changed the file")
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		tensors []Data
		want    string
	}{
		"unknown dtype": {[]Data{{Name: "w", DType: "F31"}}, `tensor "w": unknown dtype "F31"`},
		"wrong size": {[]Data{{Name: "w", DType: "F32", Shape: []int64{2}, Bytes: make([]byte, 7)}},
			`tensor "w": F32 [2] needs 8 bytes, not 7`},
		"negative": {[]Data{{Name: "w", DType: "F32", Shape: []int64{-1}}}, "negative dimension"},
		"twice": {[]Data{{Name: "w", DType: "U8", Shape: []int64{0}},
			{Name: "w", DType: "U8", Shape: []int64{0}}}, "the name is taken"},
		"metadata's name": {[]Data{{Name: metadataKey, DType: "U8", Shape: []int64{0}}}, "taken"},
		"bad text":        {[]Data{{Name: "\xff", DType: "U8", Shape: []int64{0}}}, "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			wantError(t, Write(&b, nil, test.tensors), test.want)
			if b.Len() > 0 {
				t.Errorf("%d bytes were written before the error", b.Len())
			}
		})
	}
}

func TestReadAt(t *testing.T) {
	f := open(t, file(`{"w":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},`+
		`"v":{"dtype":"U8","shape":[2],"data_offsets":[6,8]}}`, 8))
	got := make([]byte, 3)
	if err := f.ReadAt("w", 2, got); err != nil || !bytes.Equal(got, []byte{2, 3, 4}) {
		t.Errorf("ReadAt = %v, %v, want [2 3 4]", got, err)
	}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"past the end": {f.ReadAt("w", 4, got), `tensor "w": 3 bytes from 4 exceed its 6`},
		"negative":     {f.ReadAt("w", -1, got), "from -1 exceed"},
		"far":          {f.ReadAt("w", 1<<62, got), "exceed"},
		"missing":      {f.ReadAt("u", 0, got), `x.safetensors: no tensor "u"`},
		"short buffer": {f.Read("w", got), `tensor "w" has 6 bytes, the buffer 3`},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, test.err, test.want) })
	}
	if _, err := f.Bytes("u"); err == nil {
		t.Error("Bytes of a missing tensor gave no error")
	}
}

func TestFileThatShrinks(t *testing.T) {
	b := file(`{"w":{"dtype":"U8","shape":[6],"data_offsets":[0,6]}}`, 6)
	f, err := Open(bytes.NewReader(b[:len(b)-1]), int64(len(b)), "x")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Bytes("w")
	wantError(t, err, `x: tensor "w": EOF`)
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error %q does not contain %q", err, want)
	}
}

// Tensors may be asked for one by one, and Offset is where one stands.
func TestWriteEach(t *testing.T) {
	tensors := []Data{
		{Name: "b", DType: "U8", Shape: []int64{3}}, {Name: "a", DType: "U8", Shape: []int64{3}},
	}
	var b bytes.Buffer
	raw := make([]byte, 3) // used again for each
	err := WriteEach(&b, nil, tensors, func(t Data) ([]byte, error) {
		for i := range raw {
			raw[i] = t.Name[0]
		}
		return raw, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, b.Bytes())
	for _, tensor := range tensors {
		at, want := f.Offset(tensor.Name), strings.Repeat(tensor.Name, 3)
		if got := string(b.Bytes()[at : at+3]); got != want {
			t.Errorf("at %d there is %q, want %q", at, got, want)
		}
	}
	for _, size := range []int{0, 2, 4} {
		err := WriteEach(&b, nil, tensors, func(Data) ([]byte, error) { return make([]byte, size), nil })
		if err == nil || !strings.Contains(err.Error(), "needs 3 bytes") {
			t.Errorf("%d bytes: got error %v", size, err)
		}
	}
}
