package trace_test

import (
	"os"
	"strings"
	"testing"

	"ufm/internal/trace"

	"github.com/google/go-cmp/cmp"
)

// A prefill of two tokens, the last layer of which routes only the second, then a
// decode step, then another turn.
const route = `# route_trace v1
# model=/data/models/M 1.gguf arch=x n_layer=2 n_expert=5 n_expert_used=2
# layer=0 expert_bytes=10 dense_bytes=20
turn,phase,step,layer,slot,expert,weight,residency,expert_bytes
0,0,0,0,0,3,0.5,0,10
0,0,0,0,1,1,0.25,0,10
0,0,1,0,0,1,1,0,10
0,0,1,0,1,2,2,0,10
0,0,1,1,0,0,0.5,0,10
0,0,1,1,1,4,0.5,0,10
0,1,2,0,0,4,0.5,0,10
0,1,2,0,1,0,0.5,0,10
0,1,2,1,0,2,0.5,0,10
0,1,2,1,1,1,0.5,0,10
1,0,0,0,0,0,0,0,10
1,0,0,0,1,1,0,0,10
1,0,0,1,0,2,0,0,10
1,0,0,1,1,3,-1,0,10
`

func importRoute(text string) (*trace.Trace, error) {
	return trace.ImportBigMoeOnEdge(strings.NewReader(text), "r.csv")
}

func TestImportBigMoeOnEdge(t *testing.T) {
	const half, quarter, one, two, minusOne = 0x3800, 0x3400, 0x3c00, 0x4000, 0xbc00
	want := &trace.Trace{
		Model: "M 1.gguf", Layers: 2, Experts: 5, TopK: 2,
		Chosen: []int16{3, 1, -1, -1, 1, 2, 0, 4, 4, 0, 2, 1, 0, 1, 2, 3},
		Weights: []uint16{
			half, quarter, 0, 0, one, two, half, half,
			half, half, half, half, 0, 0, 0, minusOne,
		},
		StepSizes: []int32{2, 1, 1},
		Phases:    []trace.Phase{trace.Prefill, trace.Decode, trace.Prefill},
	}
	for name, text := range map[string]string{
		"plain":           route,
		"CRLF":            strings.ReplaceAll(route, "\n", "\r\n"),
		"BOM":             "\ufeff" + route,
		"no last newline": strings.TrimSuffix(route, "\n"),
	} {
		got, err := importRoute(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: trace (-want +got):\n%s", name, diff)
		}
	}
}

// Columns are found by name, and weights may be missing.
func TestImportFindsColumns(t *testing.T) {
	got, err := importRoute(`# model=a/m n_layer=1 n_expert=3 n_expert_used=1
expert,slot,layer,step,phase,turn
2,0,0,0,0,0
1,0,0,1,0,0
0,0,0,2,1,0
1,0,0,3,1,0
`)
	if err != nil {
		t.Fatal(err)
	}
	if got.Model != "m" {
		t.Errorf("model %q, want m", got.Model)
	}
	if diff := cmp.Diff([]int16{2, 1, 0, 1}, got.Chosen); diff != "" {
		t.Errorf("chosen (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int32{2, 1, 1}, got.StepSizes); diff != "" || got.Weights != nil {
		t.Errorf("weights %v, want none; steps (-want +got):\n%s", got.Weights, diff)
	}
}

func TestImportErrors(t *testing.T) {
	for _, c := range []struct {
		name, old, new, want string
	}{
		{"no shape", "n_layer=2 ", "", "line 4: no comment with n_layer"},
		{"no layers", "n_layer=2", "n_layer=0", `line 2: n_layer is "0"`},
		{"no experts", "n_expert=5", "n_exp=5", `line 2: n_expert is ""`},
		{"too many used", "n_expert_used=2", "n_expert_used=6", "line 2: n_expert_used 6 is above"},
		{"model", "M 1.gguf", "M\x9c", `line 2: model "M\x9c" is not UTF-8 text`},
		{"too large", "n_layer=2 n_expert=5 n_expert_used=2",
			"n_layer=9999 n_expert=500 n_expert_used=200", "line 2: 1999800 experts a token"},
		{"shape twice", "# layer=0", "# n_layer=2", "line 3: the shape is told twice"},
		{"no column", "slot,", "place,", `line 4: no column "slot"`},
		{"column twice", "turn,", "slot,", `line 4: column "slot" is named twice`},
		{"fields", "0,0,1,0,0,1,1,0,10", "0,0,1,0,0,1,1,0", "line 7: 8 fields, want 9"},
		{"number", "0,0,1,0,0,1,1", "0,0,one,0,0,1,1", `line 7: step is "one"`},
		{"negative", "0,0,1,0,0,1,1", "0,0,1,0,0,-1,1", `line 7: expert is "-1", want 0 to 4`},
		{"expert", "0,0,1,0,0,1,1", "0,0,1,0,0,5,1", `line 7: expert is "5", want 0 to 4`},
		{"layer", "0,0,1,1,0,0", "0,0,1,2,0,0", `line 9: layer is "2", want 0 to 1`},
		{"phase", "0,0,1,1,0,0", "0,2,1,1,0,0", `line 9: phase is "2", want 0 to 1`},
		{"weight", "0,0,1,1,0,0,0.5", "0,0,1,1,0,0,NaN", `line 9: weight is "NaN"`},
		{"large weight", "0,0,1,1,0,0,0.5", "0,0,1,1,0,0,7e4", `line 9: weight is "7e4"`},
		{"twice", "0,0,0,0,1,1", "0,0,0,0,1,3", "line 6: expert 3 is chosen twice in step 0, layer 0"},
		{"lost slot", "0,0,0,0,1,1,0.25,0,10\n", "", "line 6: step 0, layer 0 ends after 1 of 2"},
		{"lost first slot", "0,0,1,0,0,1,1,0,10\n", "", "line 7: slot 1 of step 1, layer 0 does not"},
		{"first line lost", "0,0,0,0,0,3,0.5,0,10\n", "", "line 5: slot 1 of step 0"},
		{"lost layer", "0,1,2,1,0,2,0.5,0,10\n0,1,2,1,1,1,0.5,0,10\n", "",
			"line 13: step 2 ends after 1 of 2 layers"},
		{"begins late", "0,1,2,0,0,4,0.5,0,10\n0,1,2,0,1,0,0.5,0,10\n", "",
			"line 11: step 2 begins with layer 1, want 0"},
		{"cut in a row", "1,0,0,1,1,3,-1,0,10\n", "", "line 18: step 0, layer 1 ends after 1 of 2"},
		{"cut between layers", "1,0,0,1,0,2,0,0,10\n1,0,0,1,1,3,-1,0,10\n", "",
			"line 17: step 0 ends after 1 of 2 layers"},
		{"steps back", "0,0,1,0,0,1,1,0,10\n0,0,1,0,1", "0,0,0,0,0,1,1,0,10\n0,0,0,0,1",
			"line 7: step 0, layer 0 follows step 0"},
		{"turns back", "1,0,0,0,0,0,0,0,10\n1,0,0,0,1,1,0,0,10\n1,0,0,1,0,2,0,0,10\n1,0,0,1,1,3,-1,0,10\n",
			strings.ReplaceAll("T,0,0,0,0,0,0,0,10\nT,0,0,0,1,1,0,0,10\nT,0,0,1,0,2,0,0,10\nT,0,0,1,1,3,-1,0,10\n", "T", "1") +
				"0,0,9,0,0,1,1,0,10\n", "line 19: turn 0 follows turn 1"},
		{"prefill after decode", "1,0,0,0,0,0,0", "0,0,3,0,0,0,0",
			"line 15: step 3 is prefill, after decode in the same turn 0"},
		{"phase in a row", "0,1,2,0,1,0", "0,0,2,0,1,0", "line 12: slot 1 of step 2, layer 0 does not"},
		{"phase in a pass", "0,1,2,1,0,2,0.5,0,10\n0,1,2,1,1", "0,0,2,1,0,2,0.5,0,10\n0,0,2,1,1",
			"line 13: step 2 ends after 1 of 2 layers"},
		{"decode goes back", "0,1,2,0,0,4,0.5,0,10\n0,1,2,0,1", "0,1,1,0,0,4,0.5,0,10\n0,1,1,0,1",
			"line 11: step 1 follows step 1"},
		{"new token", "0,0,1,1,0,0,0.5,0,10\n0,0,1,1,1", "0,0,9,1,0,0,0.5,0,10\n0,0,9,1,1",
			"line 9: step 9 is routed in layer 1, but not in layer 0"},
	} {
		if !strings.Contains(route, c.old) {
			t.Fatalf("%s: the route has no %q", c.name, c.old)
		}
		_, err := importRoute(strings.Replace(route, c.old, c.new, 1))
		if err == nil || !strings.Contains(err.Error(), "trace: r.csv: "+c.want) {
			t.Errorf("%s: got error %v, want one with the file and %q", c.name, err, c.want)
		}
	}
	_, err := importRoute(`# n_layer=3 n_expert=3 n_expert_used=1
turn,phase,step,layer,slot,expert
0,1,0,0,0,1
0,1,0,2,0,1
`)
	if err == nil || !strings.Contains(err.Error(), "line 4: layer 2 of step 0 follows layer 0") {
		t.Errorf("skipped layer: got error %v", err)
	}
	for _, text := range []string{"", "\n", "# n_layer=1 n_expert=3 n_expert_used=1\n"} {
		if _, err := importRoute(text); err == nil {
			t.Errorf("no data in %q: got no error", text)
		}
	}
	long := route + "#" + strings.Repeat("x", 64<<20) + "\n"
	if _, err := importRoute(long); err == nil || !strings.Contains(err.Error(), "line 19: ") {
		t.Errorf("long line: got error %v, want one with line 19", err)
	}
}

func TestImportRecorded(t *testing.T) {
	for _, c := range []struct {
		file, model               string
		layers, steps, tokens, in int // in: tokens of the prefill
		lastLayer                 int // of them routed in the last layer
	}{
		{"traces/qwen3-30b-a3b.route.csv", "Qwen3-30B-A3B-Q4_K_M.gguf", 48, 129, 156, 28, 1},
		{"traces/gemma-4-26b-a4b.route.csv", "google_gemma-4-26B-A4B-it-Q4_K_M.gguf",
			30, 129, 157, 29, 29},
	} {
		f, err := os.Open(testdata(t, c.file))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		tr, err := trace.ImportBigMoeOnEdge(f, c.file)
		if err != nil {
			t.Fatal(err)
		}
		if tr.Model != c.model || tr.Layers != c.layers || tr.Experts != 128 || tr.TopK != 6 {
			t.Errorf("%s: got %s, %d layers of %d, top-%d, want %s, %d of 128, top-6",
				c.file, tr.Model, tr.Layers, tr.Experts, tr.TopK, c.model, c.layers)
		}
		if len(tr.StepSizes) != c.steps || tr.Tokens() != c.tokens || int(tr.StepSizes[0]) != c.in {
			t.Errorf("%s: got %d steps, %d tokens, %d of them prefill, want %d, %d, %d", c.file,
				len(tr.StepSizes), tr.Tokens(), tr.StepSizes[0], c.steps, c.tokens, c.in)
		}
		routed := 0
		for token := range c.in {
			if tr.Row(token, tr.Layers-1)[0] >= 0 {
				routed++
			}
		}
		if routed != c.lastLayer || tr.Row(c.in-1, tr.Layers-1)[0] < 0 {
			t.Errorf("%s: got %d prefill tokens in the last layer, want %d, the last one among them",
				c.file, routed, c.lastLayer)
		}
	}
}

func FuzzImportBigMoeOnEdge(f *testing.F) {
	f.Add(route)
	f.Add("\ufeff" + strings.ReplaceAll(route, "\n", "\r\n"))
	f.Add(strings.Replace(route, "M 1.gguf arch=x", "\x9c", 1))
	f.Add("# n_layer=1 n_expert=3 n_expert_used=1\nturn,phase,step,layer,slot,expert\n0,1,0,0,0,1")
	f.Fuzz(func(t *testing.T, text string) {
		tr, err := importRoute(text)
		if err != nil {
			if !strings.Contains(err.Error(), "r.csv: line ") {
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
		// The CSV may refuse what it has no place for, but must not change the rest.
		var b strings.Builder
		if tr.Export(&b, "csv") != nil {
			return
		}
		if again, err = importRoute(b.String()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tr, again); diff != "" {
			t.Errorf("round trip through CSV (-want +got):\n%s", diff)
		}
	})
}
