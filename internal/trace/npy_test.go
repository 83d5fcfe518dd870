package trace_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ufm/internal/trace"

	"github.com/google/go-cmp/cmp"
)

// npy is a file as numpy.save writes it: the header is padded to 64 bytes.
func npy(dtype, shape string, data []byte) []byte {
	return npyFile(fmt.Sprintf(
		"{'descr': '%s', 'fortran_order': False, 'shape': %s, }", dtype, shape), data)
}

func npyFile(header string, data []byte) []byte {
	for (10+len(header)+1)%64 != 0 {
		header += " "
	}
	file := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)+1), byte((len(header)+1)>>8))
	return append(append(file, header+"\n"...), data...)
}

func int16s(ids ...int16) []byte {
	raw, err := binary.Append(nil, binary.LittleEndian, ids)
	if err != nil {
		panic(err)
	}
	return raw
}

func readNPY(data []byte, experts, prefill int) (*trace.Trace, error) {
	return trace.ImportNPY(bytes.NewReader(data), int64(len(data)), "a.npy", experts, prefill)
}

// The bytes of numpy.save(f, numpy.array([[[3,1],[0,4]],[[-1,-1],[1,2]],[[4,0],[2,1]]], "<i2")).
const savedByNumpy = "\x93NUMPY\x01\x00v\x00{'descr': '<i2', 'fortran_order': False, 'shape': (3, 2, 2), }" +
	"                                                       \n" +
	"\x03\x00\x01\x00\x00\x00\x04\x00\xff\xff\xff\xff\x01\x00\x02\x00\x04\x00\x00\x00\x02\x00\x01\x00"

func TestImportNPY(t *testing.T) {
	want := &trace.Trace{
		Layers: 2, Experts: 5, TopK: 2,
		Chosen:    []int16{3, 1, 0, 4, -1, -1, 1, 2, 4, 0, 2, 1},
		StepSizes: []int32{1, 1, 1},
		Phases:    []trace.Phase{trace.Decode, trace.Decode, trace.Decode},
	}
	got, err := readNPY([]byte(savedByNumpy), 5, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
	if !bytes.Equal(npy("<i2", "(3, 2, 2)", int16s(want.Chosen...)), []byte(savedByNumpy)) {
		t.Error("this test's files are not numpy's")
	}

	want.StepSizes, want.Phases = []int32{2, 1}, []trace.Phase{trace.Prefill, trace.Decode}
	got, err = readNPY([]byte(savedByNumpy), 5, 2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with a prefill of 2: trace (-want +got):\n%s", diff)
	}
}

func TestImportNPYForms(t *testing.T) {
	version2 := append([]byte("\x93NUMPY\x02\x00\x51\x00\x00\x00"),
		"{\"shape\": (1,1,2),\n'fortran_order':False, \"descr\": '<i2'}            \n          \n\x03\x00\x01\x00"...)
	for name, file := range map[string][]byte{
		"bytes":             npy("|u1", "(1, 1, 2)", []byte{3, 1}),
		"unsigned":          npy("<u2", "(1, 1, 2)", int16s(3, 1)),
		"version 2, spaces": version2,
	} {
		got, err := readNPY(file, 5, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff([]int16{3, 1}, got.Chosen); diff != "" {
			t.Errorf("%s: chosen (-want +got):\n%s", name, diff)
		}
	}
}

// An array of more than one chunk.
func TestImportNPYLarge(t *testing.T) {
	const tokens, layers, topK, experts = 70_001, 3, 4, 64
	ids := make([]int16, tokens*layers*topK)
	for i := range ids {
		ids[i] = int16((i*7 + i/topK) % experts)
	}
	got, err := readNPY(npy("<i2", "(70001, 3, 4)", int16s(ids...)), experts, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids, got.Chosen) {
		t.Error("other ids were read than written")
	}
	again, err := read(write(t, got)) // which is more than one chunk too
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids, again.Chosen) {
		t.Error("a safetensors file gives other ids than were written")
	}
}

func TestImportNPYErrors(t *testing.T) {
	good := []byte(savedByNumpy)
	header := func(text string) []byte { return npyFile(text, int16s(3, 1)) }
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "byte 0: no npy file"},
		{"no npy", []byte("PK\x03\x04 which is npz"), "byte 0: no npy file"},
		{"version", bytes.Replace(good, []byte("\x01\x00v"), []byte("\x04\x00v"), 1), "byte 6: npy version 4"},
		{"cut in the header", good[:100], "byte 8: a header of 118 bytes, 90 follow"},
		{"cut", good[:len(good)-1], "byte 128: shape [3 2 2] needs 24 bytes, 23 follow: the file is truncated"},
		{"too long", append(bytes.Clone(good), 0), "byte 128: shape [3 2 2] needs 24 bytes, 25 follow"},
		{"int32", npy("<i4", "(1, 1, 1)", make([]byte, 4)), "dtype <i4, want <i2"},
		{"float", npy("<f2", "(1, 1, 1)", make([]byte, 2)), "dtype <f2, want <i2"},
		{"big-endian", npy(">i2", "(1, 1, 1)", make([]byte, 2)), "dtype >i2, want <i2"},
		{"two dimensions", npy("<i2", "(1, 1)", make([]byte, 2)), "shape [1 1], want (tokens, layers, top_k)"},
		{"no tokens", npy("<i2", "(0, 2, 2)", nil), "byte 128: no tokens"},
		{"no layers", npy("<i2", "(1, 0, 2)", nil), "want 1 to 32767 layers"},
		{"huge", npy("<i2", "(2147483647, 32767, 32767)", nil), "0 follow: the file is truncated"},
		{"overflow", npy("<i2", "(99999999999999999999, 1, 1)", nil), "is no dimension"},
		{"many tokens", npy("<i2", "(4294967296, 1, 1)", nil), "4294967296 tokens are more"},
		{"above", npy("<i2", "(1, 1, 2)", int16s(3, 5)), "byte 130: token 0, layer 0: expert 5, want 0 to 4"},
		{"below", npy("<i2", "(1, 1, 2)", int16s(3, -2)), "byte 130: token 0, layer 0: expert -2"},
		{"unsigned above", npy("<u2", "(1, 1, 1)", int16s(-1)), "byte 128: expert 65535 is above 32767"},
		{"part of a row", npy("<i2", "(1, 1, 2)", int16s(3, -1)), "byte 130: token 0, layer 0: -1 must stand"},
		{"twice", npy("<i2", "(2, 1, 2)", int16s(0, 1, 2, 2)), "byte 134: token 1, layer 0: expert 2 is chosen twice"},
		{"Fortran", header("{'descr': '<i2', 'fortran_order': True, 'shape': (1,1,2)}"), "Fortran order"},
		{"no shape", header("{'descr': '<i2', 'fortran_order': False}"), `no "shape"`},
		{"records", header("{'descr': [('a', '<i2')], 'fortran_order': False}"), "byte 20: header: a string is wanted"},
		{"key twice", header("{'descr': '<i2', 'descr': '<i2'}"), `"descr" stands there twice`},
		{"unknown key", header("{'dtype': '<i2'}"), `unknown key "dtype"`},
		{"text after", header("{'descr': '<i2', 'fortran_order': False, 'shape': (1,1,2)} x"), "text follows"},
		{"no dictionary", header("[]"), `byte 10: header: "{" is wanted`},
		{"no end", header("{'descr': '<i2'"), `"}" is wanted`},
		{"no string's end", header("{'descr"), "does not end"},
		{"boolean", header("{'fortran_order': 0}"), `"False" is wanted`},
	} {
		_, err := readNPY(c.file, 5, 0)
		if err == nil || !strings.Contains(err.Error(), "trace: a.npy: ") ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with the file and %q", c.name, err, c.want)
		}
	}
	for _, prefill := range []int{-1, 4} {
		if _, err := readNPY(good, 5, prefill); err == nil {
			t.Errorf("a prefill of %d of 3 tokens: got no error", prefill)
		}
	}
}

func FuzzImportNPY(f *testing.F) {
	f.Add([]byte(savedByNumpy), 2)
	f.Add(npy("|u1", "(1, 1, 2)", []byte{3, 1}), 0)
	f.Add(npy("<u2", "(2, 1, 1)", int16s(4, 3)), 1)
	f.Fuzz(func(t *testing.T, data []byte, prefill int) {
		tr, err := readNPY(data, 5, prefill)
		if err != nil {
			return
		}
		again, err := read(write(t, tr))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tr, again); diff != "" {
			t.Errorf("round trip (-want +got):\n%s", diff)
		}
	})
}
