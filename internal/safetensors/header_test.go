package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"
)

func TestOpenAccepts(t *testing.T) {
	for name, b := range map[string][]byte{
		"no tensors":     file(`{}`, 0),
		"trailing space": file("{}  \n ", 0),
		"scalar":         file(`{"w":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, 4),
		"unknown field":  file(`{"w":{"x":{},"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"half bytes":     file(`{"w":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}`, 2),
		"empty between": file(`{"e":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},`+
			`"v":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},`+
			`"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2),
		"empty and vast": file(fmt.Sprintf(
			`{"w":{"dtype":"F32","shape":[0,%d,%d],"data_offsets":[0,0]}}`,
			int64(math.MaxInt64), int64(math.MaxInt64)), 0),
	} {
		t.Run(name, func(t *testing.T) { open(t, b) })
	}
}

func TestOpenRefuses(t *testing.T) {
	length := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	one := func(dtype, shape, offsets string, n int) []byte {
		return file(fmt.Sprintf(`{"w":{"dtype":%s,"shape":%s,"data_offsets":%s}}`,
			dtype, shape, offsets), n)
	}
	two := func(v, w string, n int) []byte {
		return file(fmt.Sprintf(`{"v":{"dtype":"U8","shape":[2],"data_offsets":%s},`+
			`"w":{"dtype":"U8","shape":[2],"data_offsets":%s}}`, v, w), n)
	}
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"empty file":       {nil, "0 bytes is too short"},
		"short file":       {[]byte("1234567"), "7 bytes is too short"},
		"header of 0":      {length(0), "header is empty"},
		"header past end":  {append(length(3), "{}"...), "header claims 3 bytes, 2 follow"},
		"header of 2^63":   {append(length(1<<63), "{}"...), "header claims 9223372036854775808"},
		"header of 2^64-1": {append(length(math.MaxUint64), "{}"...), "header claims"},
		"text file":        {[]byte("version https://git-lfs"), "no safetensors file"},
		"not UTF-8":        {file("{\"\xff\":{}}", 0), "not UTF-8"},
		"not an object":    {file(`[]`, 0), "a JSON object is wanted"},
		"null":             {file(`null`, 0), "a JSON object is wanted"},
		"cut":              {file(`{"w":{"dtype":"U8",`, 0), "unexpected EOF"},
		"cut after key":    {file(`{"w"`, 0), "unexpected EOF"},
		"text after":       {file(`{}{}`, 0), "text follows"},
		"garbage after":    {file(`{}\x00`, 0), "text follows"},
		"tensor twice": {file(`{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{}}`, 0),
			`key "w" stands there twice`},
		"escaped twice": {
			file(`{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0077":{}}`, 0),
			`key "w" stands there twice`},
		"field twice": {file(`{"w":{"dtype":"U8","dtype":"U8"}}`, 0),
			`tensor "w": key "dtype" stands there twice`},
		"metadata number": {file(`{"__metadata__":{"layers":2}}`, 0),
			`metadata "layers" is not a string`},
		"metadata list": {file(`{"__metadata__":[]}`, 0), "a JSON object is wanted"},
		"metadata twice": {file(`{"__metadata__":{"a":"1","a":"2"}}`, 0),
			`"a" stands there twice`},
		"tensor no object": {file(`{"w":3}`, 0), `tensor "w": a JSON object is wanted`},
		"no dtype":         {one(`null`, `[0]`, `[0,0]`, 0), `tensor "w": unknown dtype ""`},
		"unknown dtype": {one(`"F31"`, `[0]`, `[0,0]`, 0),
			`x.safetensors: header: tensor "w": unknown dtype "F31"`},
		"no shape": {file(`{"w":{"dtype":"U8","data_offsets":[0,0]}}`, 0),
			`tensor "w": has no shape`},
		"null shape":         {one(`"U8"`, `null`, `[0,0]`, 0), "shape is not a list"},
		"null dimension":     {one(`"U8"`, `[null]`, `[0,0]`, 0), "is not a whole number"},
		"negative dimension": {one(`"U8"`, `[-1]`, `[0,0]`, 0), "shape: -1 is not a whole number"},
		"broken dimension": {one(`"U8"`, `[1.5]`, `[0,1]`, 1),
			"shape: 1.5 is not a whole number"},
		"quoted dimension": {one(`"U8"`, `["1"]`, `[0,1]`, 1), "is not a whole number"},
		"dimension of 2^63": {one(`"U8"`, `[9223372036854775808]`, `[0,1]`, 1),
			"is not a whole number"},
		"product overflows": {one(`"F32"`, `[4611686018427387904,4]`, `[0,0]`, 0), "overflows"},
		"product wraps to 0": {one(`"U8"`, `[4294967296,4294967296,4294967296]`, `[0,0]`, 0),
			"overflows"},
		"half a byte": {one(`"F4"`, `[3]`, `[0,1]`, 1), "does not fill whole bytes"},
		"no offsets": {file(`{"w":{"dtype":"U8","shape":[0]}}`, 0),
			"are not a begin and an end"},
		"one offset":      {one(`"U8"`, `[0]`, `[0]`, 0), "are not a begin and an end"},
		"offsets swapped": {one(`"U8"`, `[1]`, `[1,0]`, 1), "are not a begin and an end"},
		"negative offset": {one(`"U8"`, `[1]`, `[-1,0]`, 1),
			"data_offsets: -1 is not a whole number"},
		"shape and bytes": {one(`"F32"`, `[2,3]`, `[0,20]`, 20),
			`tensor "w": F32 [2 3] needs 24 bytes, its data_offsets [0 20] span 20`},
		"past the end": {one(`"U8"`, `[9]`, `[0,9]`, 8),
			`tensor "w" ends at byte 9, the file has 8`},
		"far past the end": {one(`"U8"`, `[1]`, `[9223372036854775806,9223372036854775807]`, 8),
			`tensor "w" ends at byte`},
		"overlap":    {two(`[0,2]`, `[1,3]`, 3), `tensor "w" overlaps "v"`},
		"same bytes": {two(`[0,2]`, `[0,2]`, 2), "overlaps"},
		"hole": {two(`[0,2]`, `[3,5]`, 5),
			`tensor "w" leaves a hole of 1 bytes after "v"`},
		"hole at the start": {two(`[1,3]`, `[3,5]`, 5), "hole of 1 bytes after the header"},
		"bytes at the end":  {two(`[0,2]`, `[2,4]`, 5), `1 bytes after "w" belong to no tensor`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(bytes.NewReader(test.file), int64(len(test.file)), "x.safetensors")
			wantError(t, err, "safetensors: x.safetensors: ")
			wantError(t, err, test.want)
		})
	}
}

// FuzzOpen checks that any file is either refused or tells the truth: each tensor
// can be read in full, and what was read can be written again.
func FuzzOpen(f *testing.F) {
	metadata, tensors := sample()
	var b bytes.Buffer
	if err := Write(&b, metadata, tensors); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(file(`{"w":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}`, 2))
	f.Add(file(`{"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},`+
		`"w":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Open(bytes.NewReader(b), int64(len(b)), "fuzz")
		if err != nil {
			return
		}
		var copied []Data
		total := file.data
		for _, name := range file.Names() {
			tensor, _ := file.Tensor(name)
			raw, err := file.Bytes(name)
			if err != nil {
				t.Fatalf("accepted tensor %q cannot be read: %v", name, err)
			}
			total += int64(len(raw))
			copied = append(copied, Data{
				Name: name, DType: tensor.DType, Shape: tensor.Shape, Bytes: raw,
			})
		}
		if total != int64(len(b)) {
			t.Errorf("tensors and header have %d bytes, the file %d", total, len(b))
		}
		if err := Write(&bytes.Buffer{}, file.Metadata(), copied); err != nil {
			t.Errorf("an accepted file cannot be written again: %v", err)
		}
	})
}
