package trace_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ufm/internal/trace"

	"github.com/google/go-cmp/cmp"
)

// Two passes of a batch of two tokens and one, through layers 1 and 3 of the decoder and
// a layer for multi-token prediction.
const routerTrace = `{"step": 0, "stage": "pre_dispatch", "block": "decoder", "layer": 1, "rank": 2, "num_tokens": 2, "topk": 2, "top_indices": [[3, 1], [1, 2]]}
{"step": 0, "stage": "pre_dispatch", "block": "decoder", "layer": 3, "rank": 2, "num_tokens": 2, "topk": 2, "top_indices": [[0, 4], [4, 3]], "hs_offset": 0}
{"step": 0, "stage": "pre_dispatch", "block": "mtp", "layer": 1, "rank": 2, "num_tokens": 2, "topk": 2, "top_indices": [[0, 1], [2, 3]], "mtp_idx": 0}
{"step": 1, "stage": "pre_dispatch", "block": "decoder", "layer": 1, "rank": 2, "num_tokens": 1, "topk": 2, "top_indices": [[4, 0]]}
{"step": 1, "stage": "pre_dispatch", "block": "decoder", "layer": 3, "rank": 2, "num_tokens": 1, "topk": 2, "top_indices": [[2, 1]]}
{"step": 1, "stage": "pre_dispatch", "block": "mtp", "layer": 1, "rank": 2, "num_tokens": 1, "topk": 2, "top_indices": [[1, 2]], "mtp_idx": 0}
`

func importMegatron(text string) (*trace.Trace, error) {
	return trace.ImportMegatron(strings.NewReader(text), "m.jsonl", 5)
}

func TestImportMegatron(t *testing.T) {
	want := &trace.Trace{
		Layers: 3, Experts: 5, TopK: 2,
		Chosen: []int16{
			3, 1, 0, 4, 0, 1,
			1, 2, 4, 3, 2, 3,
			4, 0, 2, 1, 1, 2,
		},
		StepSizes: []int32{2, 1},
		Phases:    []trace.Phase{trace.Prefill, trace.Decode},
	}
	for name, text := range map[string]string{
		"plain":           routerTrace,
		"CRLF":            strings.ReplaceAll(routerTrace, "\n", "\r\n"),
		"BOM":             "\ufeff" + routerTrace,
		"no last newline": strings.TrimSuffix(routerTrace, "\n"),
		"empty lines":     strings.ReplaceAll(routerTrace, "\n", "\n\n"),
	} {
		got, err := importMegatron(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: trace (-want +got):\n%s", name, diff)
		}
	}
}

// In training, a step has a pass for each microbatch: the layers come again.
func TestImportMegatronMicrobatches(t *testing.T) {
	got, err := importMegatron(strings.ReplaceAll(routerTrace, `"step": 1`, `"step": 0`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int32{2, 1}, got.StepSizes); diff != "" {
		t.Errorf("step sizes (-want +got):\n%s", diff)
	}
}

func TestImportMegatronErrors(t *testing.T) {
	lines := strings.SplitAfter(routerTrace, "\n")
	for _, c := range []struct {
		name, old, new, want string
	}{
		{"cut", lines[5], lines[5][:40], "line 6: json: unexpected end"},
		{"cut between layers", lines[5], "", "line 6: step 1 ends after 2 of 3 layers"},
		{"lost layer", lines[4], "", "line 5: mtp 0 layer 1 where the first pass has decoder layer 3"},
		{"lost first layer", lines[3], "", "line 4: decoder layer 3 where the first pass has"},
		{"no JSON", lines[1], "1,2\n", "line 2: json: "},
		{"no step", `"step": 1, "stage"`, `"stage"`, `line 4: no field "step"`},
		{"no layer", `"layer": 1, `, ``, `line 1: no field "layer"`},
		{"no count", `"num_tokens": 1, `, ``, `line 4: no field "num_tokens"`},
		{"no topk", `"topk": 2, `, ``, `line 1: no field "topk"`},
		{"no rows", `"top_indices": [[4, 0]]`, `"top": 0`, "line 4: top_indices has 0 rows, num_tokens is 1"},
		{"zero tokens", `"num_tokens": 1, "topk": 2, "top_indices": [[4, 0]]`,
			`"num_tokens": 0, "topk": 2, "top_indices": []`, "line 4: no tokens"},
		{"stage", `"pre_dispatch"`, `"post"`, `line 1: stage is "post"`},
		{"rows", `[[4, 0]]`, `[[4, 0], [1, 2]]`, "line 4: top_indices has 2 rows, num_tokens is 1"},
		{"ragged", `[1, 2]]`, `[1]]`, "line 1: token 1 has 1 experts, topk is 2"},
		{"ragged layers", `"num_tokens": 2, "topk": 2, "top_indices": [[0, 4], [4, 3]]`,
			`"num_tokens": 1, "topk": 2, "top_indices": [[0, 4]]`,
			"line 2: 1 tokens in decoder layer 3, 2 in the layer before"},
		{"above", `[4, 3]`, `[4, 5]`, "line 2: token 1: expert 5, want 0 to 4"},
		{"below", `[4, 3]`, `[4, -1]`, "line 2: token 1: expert -1, want 0 to 4"},
		{"fraction", `[4, 3]`, `[4, 2.5]`, "line 2: json: "},
		{"twice", `[4, 3]`, `[4, 4]`, "line 2: token 1: expert 4 is chosen twice"},
		{"rank", lines[4], strings.Replace(lines[4], `"rank": 2`, `"rank": 0`, 1),
			"line 5: rank 0 follows rank 2"},
		{"other topk", `"topk": 2, "top_indices": [[4, 0]]`, `"topk": 1, "top_indices": [[4]]`,
			"line 4: topk is 1, was 2"},
		{"steps back", lines[0], strings.Replace(lines[0], `"step": 0`, `"step": 3`, 1),
			"line 2: step 0 follows step 3"},
		{"step in a pass", lines[4], strings.Replace(lines[4], `"step": 1`, `"step": 2`, 1),
			"line 5: step 1 ends after 1 of 3 layers"},
	} {
		if !strings.Contains(routerTrace, c.old) {
			t.Fatalf("%s: the trace has no %q", c.name, c.old)
		}
		_, err := importMegatron(strings.Replace(routerTrace, c.old, c.new, 1))
		if err == nil || !strings.Contains(err.Error(), "trace: m.jsonl: "+c.want) {
			t.Errorf("%s: got error %v, want one with the file and %q", c.name, err, c.want)
		}
	}
	if _, err := importMegatron(""); err == nil || !strings.Contains(err.Error(), "no tokens") {
		t.Errorf("empty: got error %v", err)
	}
	for experts, want := range map[int]string{
		0: "line 1: 0 experts", 1: "line 1: topk is 2, want 1 to 1", 1 << 15: "line 1: 32768 experts",
	} {
		_, err := trace.ImportMegatron(strings.NewReader(routerTrace), "m", experts)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d experts: got error %v, want %q", experts, err, want)
		}
	}
}

// The same routing in both forms is the same trace.
func TestImportMegatronAgreesWithBigMoe(t *testing.T) {
	path := testdata(t, "traces/gemma-4-26b-a4b.route.csv")
	want, err := trace.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	first := 0
	for step, size := range want.StepSizes {
		for layer := range want.Layers {
			rows := make([][]int16, size)
			for i := range rows {
				rows[i] = want.Row(first+i, layer)
			}
			ids := strings.ReplaceAll(fmt.Sprint(rows), " ", ",")
			fmt.Fprintf(&b, `{"step":%d,"block":"decoder","layer":%d,"num_tokens":%d,"topk":%d,"top_indices":%s}`+"\n",
				step, layer+2, size, want.TopK, ids)
		}
		first += int(size)
	}
	file := filepath.Join(t.TempDir(), "router_trace_rank0.jsonl")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := trace.OpenWith(file, trace.Hints{Experts: 128})
	if err != nil {
		t.Fatal(err)
	}
	want.Model, want.Weights = "", nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
}

func FuzzImportMegatron(f *testing.F) {
	f.Add(routerTrace)
	f.Add(strings.ReplaceAll(routerTrace, `"step": 1`, `"step": 0`))
	f.Add(`{"step":0,"layer":0,"num_tokens":1,"topk":1,"top_indices":[[0]]}`)
	f.Fuzz(func(t *testing.T, text string) {
		tr, err := importMegatron(text)
		if err != nil {
			if !strings.Contains(err.Error(), "m.jsonl: line ") {
				t.Errorf("error without a line: %v", err)
			}
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
