package trace_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ufm/internal/safetensors"
	"ufm/internal/trace"

	"github.com/google/go-cmp/cmp"
)

// testdata is a path below the folder of shared test data.
func testdata(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("UFM_TESTDATA")
	if root == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("UFM_TESTDATA is not set")
		}
		t.Skip("UFM_TESTDATA is not set")
	}
	return filepath.Join(root, filepath.FromSlash(name))
}

// small has 3 tokens in 2 steps; the second is not routed in layer 1.
func small() *trace.Trace {
	return &trace.Trace{
		Model: "small", Layers: 2, Experts: 5, TopK: 2,
		Chosen: []int16{
			3, 1, 0, 4,
			1, 2, -1, -1,
			4, 0, 2, 1,
		},
		Weights:   []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		Predicted: []int16{-1, -1, 0, 4, -1, -1, -1, -1, -1, -1, 0, 1},
		InputIDs:  []int32{7, 8, -9},
		StepSizes: []int32{2, 1},
		Phases:    []trace.Phase{trace.Prefill, trace.Decode},
	}
}

func write(t *testing.T, tr *trace.Trace) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tr.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(data []byte) (*trace.Trace, error) {
	return trace.Read(bytes.NewReader(data), int64(len(data)), "t.safetensors")
}

func TestRoundTrip(t *testing.T) {
	bare := small()
	bare.Model, bare.Weights, bare.Predicted, bare.InputIDs = "", nil, nil, nil
	for _, want := range []*trace.Trace{small(), bare} {
		first := write(t, want)
		got, err := read(first)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("trace (-want +got):\n%s", diff)
		}
		if !bytes.Equal(first, write(t, got)) {
			t.Error("the same trace was written as other bytes")
		}
	}
}

func TestGroups(t *testing.T) {
	var got []trace.Group
	for g := range small().Groups() {
		g.Experts = append([]uint32(nil), g.Experts...)
		got = append(got, g)
	}
	want := []trace.Group{
		{Step: 0, Layer: 0, Phase: trace.Prefill, Experts: []uint32{1, 2, 3}},
		{Step: 0, Layer: 1, Phase: trace.Prefill, Experts: []uint32{5, 9}},
		{Step: 1, Layer: 0, Phase: trace.Decode, Experts: []uint32{0, 4}},
		{Step: 1, Layer: 1, Phase: trace.Decode, Experts: []uint32{6, 7}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

// A layer that no token of a step was routed in has no group, and a caller may stop.
func TestGroupsLeaveOutAndStop(t *testing.T) {
	tr := small()
	tr.StepSizes, tr.Phases = []int32{1, 1, 1}, make([]trace.Phase, 3)
	count := 0
	for g := range tr.Groups() {
		if g.Step == 1 && g.Layer == 1 {
			t.Error("layer 1 of step 1 has a group, no token was routed there")
		}
		if count++; count == 4 {
			break
		}
	}
	if count != 4 {
		t.Errorf("got %d groups before the break, want 4", count)
	}
}

func TestDefaultSteps(t *testing.T) {
	tr := small()
	rows := []int64{3, 2, 2}
	data := file(t, tr, func(d []safetensors.Data) []safetensors.Data {
		return []safetensors.Data{{
			Name: "experts", DType: "I16", Shape: rows, Bytes: d[0].Bytes,
		}}
	}, nil)
	got, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int32{1, 1, 1}, got.StepSizes); diff != "" {
		t.Errorf("step sizes (-want +got):\n%s", diff)
	}
	want := []trace.Phase{trace.Decode, trace.Decode, trace.Decode}
	if diff := cmp.Diff(want, got.Phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
}

// file writes tr's tensor experts first, then the others, as change and meta make them.
func file(
	t *testing.T, tr *trace.Trace,
	change func([]safetensors.Data) []safetensors.Data, meta map[string]string,
) []byte {
	t.Helper()
	raw := write(t, tr)
	f, err := safetensors.Open(bytes.NewReader(raw), int64(len(raw)), "t")
	if err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Data
	for _, name := range f.Names() { // experts stands first in the alphabet
		info, _ := f.Tensor(name)
		b, err := f.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, safetensors.Data{
			Name: name, DType: info.DType, Shape: info.Shape, Bytes: b,
		})
	}
	if change != nil {
		tensors = change(tensors)
	}
	all := map[string]string{"layers": "2", "experts": "5", "top_k": "2"}
	for k, v := range meta {
		if all[k] = v; v == "" {
			delete(all, k)
		}
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, all, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadErrors(t *testing.T) {
	replace := func(name, dtype string, shape ...int64) func([]safetensors.Data) []safetensors.Data {
		return func(tensors []safetensors.Data) []safetensors.Data {
			size := int64(1)
			for _, n := range shape {
				size *= n
			}
			switch dtype {
			case "I16", "F16":
				size *= 2
			case "I32":
				size *= 4
			}
			for i := range tensors {
				if tensors[i].Name == name {
					tensors[i].DType, tensors[i].Shape = dtype, shape
					tensors[i].Bytes = make([]byte, size)
				}
			}
			return tensors
		}
	}
	drop := func(tensors []safetensors.Data) []safetensors.Data { return tensors[1:] }
	for _, c := range []struct {
		name   string
		change func([]safetensors.Data) []safetensors.Data
		meta   map[string]string
		want   string
	}{
		{"no experts", drop, nil, `no tensor "experts"`},
		{"no layers", nil, map[string]string{"layers": ""}, `metadata has no "layers"`},
		{"layers", nil, map[string]string{"layers": "two"}, `metadata "layers" is "two"`},
		{"other layers", nil, map[string]string{"layers": "3"},
			"tensor experts: shape [3 2 2], want [3 3 2]"},
		{"no experts at all", nil, map[string]string{"experts": "0"}, "2 layers, 0 experts, top-k 2"},
		{"too many", nil, map[string]string{"experts": "40000"}, "at most 32767"},
		{"top-k", nil, map[string]string{"experts": "1"}, "top-k 2 of 1 experts"},
		{"id", nil, map[string]string{"experts": "4"},
			"tensor experts: token 0, layer 1: expert 4, want 0 to 3"},
		{"dtype", replace("experts", "I32", 3, 2, 2), nil, "tensor experts: dtype I32, want I16"},
		{"scalar", replace("experts", "I16"), nil, "tensor experts: shape []"},
		{"flat", replace("experts", "I16", 12), nil, "tensor experts: shape [12], want [12 2 2]"},
		{"no tokens", replace("experts", "I16", 0, 2, 2), nil, "tensor weights: shape"},
		{"weights", replace("weights", "F16", 3, 2, 1), nil, "tensor weights: shape [3 2 1]"},
		{"predicted", replace("predicted", "F16", 3, 2, 2), nil, "tensor predicted: dtype F16"},
		{"input ids", replace("input_ids", "I32", 2), nil, "tensor input_ids: shape [2], want [3]"},
		{"twice", replace("predicted", "I16", 3, 2, 2), nil,
			"tensor predicted: token 0, layer 0: expert 0 is chosen twice in [0 0]"},
		{"phases", replace("step_phase", "U8", 3), nil, "tensor step_phase: 3 values for 2 steps"},
		{"empty steps", replace("step_tokens", "I32", 2), nil,
			"tensor step_tokens: step 0 has 0 tokens"},
	} {
		_, err := read(file(t, small(), c.change, c.meta))
		if err == nil || !strings.Contains(err.Error(), "trace: t.safetensors: ") ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with the file and %q", c.name, err, c.want)
		}
	}
	if _, err := read([]byte("no header")); err == nil {
		t.Error("not a file: got no error")
	}
}

// An id that is wrong is told with the byte where it stands.
func TestReadErrorOffset(t *testing.T) {
	data := write(t, small())
	at := bytes.Index(data, int16s(small().Chosen...)) + 2*3
	data[at] = 7
	_, err := read(data)
	want := fmt.Sprintf("byte %d: tensor experts: token 0, layer 1: expert 7, want 0 to 4", at)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want one with %q", err, want)
	}
}

// A bank that no machine has is refused before anything is made of that size.
func TestReadHugeBank(t *testing.T) {
	const layers = 32767
	ids := make([]byte, 2*layers)
	var b bytes.Buffer
	err := safetensors.Write(&b,
		map[string]string{"layers": "32767", "experts": "32767", "top_k": "1"},
		[]safetensors.Data{{Name: "experts", DType: "I16", Shape: []int64{1, layers, 1}, Bytes: ids}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(b.Bytes()); err == nil || !strings.Contains(err.Error(), "want at most 16777216") {
		t.Errorf("got error %v", err)
	}
}

func TestWriteErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*trace.Trace)
		want   string
	}{
		{"part of a row -1", func(t *trace.Trace) { t.Chosen[1] = -1 },
			"token 0, layer 0: -1 must stand through the whole row, not in [3 -1]"},
		{"row begins with -1", func(t *trace.Trace) { t.Chosen[10] = -1 },
			"token 2, layer 1: -1 must stand through the whole row, not in [-1 1]"},
		{"below -1", func(t *trace.Trace) { t.Chosen[8] = -2 }, "token 2, layer 0: expert -2"},
		{"twice", func(t *trace.Trace) { t.Chosen[9] = 4 }, "expert 4 is chosen twice in [4 4]"},
		{"sum", func(t *trace.Trace) { t.StepSizes[1] = 2 }, "add up to 4 tokens, the trace has 3"},
		{"phase", func(t *trace.Trace) { t.Phases[1] = 2 }, "step 1 has phase 2, want 0 or 1"},
		{"rows", func(t *trace.Trace) { t.Chosen = t.Chosen[:11] }, "11 values are no multiple"},
		{"empty", func(t *trace.Trace) { t.Chosen = nil }, "no tokens"},
		{"weights", func(t *trace.Trace) { t.Weights = t.Weights[1:] }, "tensor weights: 11 values"},
		{"predicted", func(t *trace.Trace) { t.Predicted = t.Predicted[1:] }, "tensor predicted: 11"},
		{"input ids", func(t *trace.Trace) { t.InputIDs = t.InputIDs[1:] }, "tensor input_ids: 2 "},
	} {
		tr := small()
		c.change(tr)
		err := tr.Write(&bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func TestOpenReference(t *testing.T) {
	path := testdata(t, "models/tiny-qwen3-moe/reference/trace.safetensors")
	tr, err := trace.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if tr.Layers != 4 || tr.Experts != 64 || tr.TopK != 4 || tr.Tokens() != 15360 {
		t.Errorf("got %d layers of %d experts, top-%d, %d tokens, want 4 of 64, top-4, 15360",
			tr.Layers, tr.Experts, tr.TopK, tr.Tokens())
	}
	if len(tr.StepSizes) != 15360 || len(tr.Weights) != 15360*16 || len(tr.InputIDs) != 15360 {
		t.Errorf("got %d steps, %d weights, %d input ids",
			len(tr.StepSizes), len(tr.Weights), len(tr.InputIDs))
	}
}

func TestOpenMissing(t *testing.T) {
	_, err := trace.Open(filepath.Join(t.TempDir(), "none.safetensors"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want one that tells of a missing file", err)
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := small().Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(bytes.Replace(b.Bytes(), []byte(`"layers":"2"`), []byte(`"layers":"9"`), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := read(data)
		if err != nil {
			return
		}
		for g := range tr.Groups() {
			for i, e := range g.Experts {
				if int(e)/tr.Experts != g.Layer || i > 0 && e <= g.Experts[i-1] {
					t.Fatalf("layer %d has group %v", g.Layer, g.Experts)
				}
			}
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
