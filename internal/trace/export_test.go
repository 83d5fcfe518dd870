package trace_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"ufm/internal/trace"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func export(t testing.TB, tr *trace.Trace, form string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tr.Export(&b, form); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestExportCSV(t *testing.T) {
	tr := small()
	tr.Weights = []uint16{
		0x3800, 0x3400, 0x3c00, 0x4000, 0xbc00, 0, 0, 0, 0x0001, 0x7bff, 0x2e66, 0x8000,
	}
	want := `# route_trace v1
# model=small arch=unknown n_layer=2 n_expert=5 n_expert_used=2
turn,phase,step,layer,slot,expert,weight
0,0,0,0,0,3,0.5
0,0,0,0,1,1,0.25
0,0,1,0,0,1,-1
0,0,1,0,1,2,0
0,0,0,1,0,0,1
0,0,0,1,1,4,2
0,1,2,0,0,4,5.9604645e-08
0,1,2,0,1,0,65504
0,1,2,1,0,2,0.099975586
0,1,2,1,1,1,-0
`
	got := export(t, tr, "csv")
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("csv (-want +got):\n%s", diff)
	}
	again, err := importRoute(string(got))
	if err != nil {
		t.Fatal(err)
	}
	tr.Predicted, tr.InputIDs = nil, nil
	if diff := cmp.Diff(tr, again); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
}

// Whatever the CSV's form has a place for comes back from it.
func TestExportCSVRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		tr := drawTrace(r)
		again, err := importRoute(string(export(t, tr, "csv")))
		if err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(tr, again); diff != "" {
			r.Errorf("round trip (-want +got):\n%s", diff)
		}
	})
}

// drawTrace makes a trace without weights in which some tokens of a prefill are not
// routed in layers after the first.
func drawTrace(r *rapid.T) *trace.Trace {
	tr := &trace.Trace{
		Layers: rapid.IntRange(1, 3).Draw(r, "layers"), Experts: rapid.IntRange(2, 5).Draw(r, "experts"),
	}
	tr.TopK = rapid.IntRange(1, tr.Experts).Draw(r, "top-k")
	for range rapid.IntRange(1, 5).Draw(r, "steps") {
		size, phase := 1, trace.Decode
		if rapid.Bool().Draw(r, "prefill") {
			size, phase = rapid.IntRange(1, 4).Draw(r, "tokens"), trace.Prefill
		}
		tr.StepSizes, tr.Phases = append(tr.StepSizes, int32(size)), append(tr.Phases, phase)
		for token := range size {
			for layer := range tr.Layers {
				ids := rapid.Permutation(experts(tr.Experts)).Draw(r, "ids")[:tr.TopK]
				if layer > 0 && token < size-1 && rapid.Bool().Draw(r, "leave out") {
					for i := range ids {
						ids[i] = -1
					}
				}
				tr.Chosen = append(tr.Chosen, ids...)
			}
		}
	}
	return tr
}

func experts(n int) []int16 {
	ids := make([]int16, n)
	for i := range ids {
		ids[i] = int16(i)
	}
	return ids
}

func TestExportCSVRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*trace.Trace)
		want   string
	}{
		{"decode of many", func(t *trace.Trace) { t.Phases[0] = trace.Decode }, "step 0 is a decode of 2 tokens"},
		{"not in layer 0", func(t *trace.Trace) { t.Chosen[4], t.Chosen[5] = -1, -1 },
			"token 1 is not routed in layer 0"},
		{"empty layer", func(t *trace.Trace) { t.Chosen[2], t.Chosen[3] = -1, -1 },
			"step 0 routes no token in layer 1"},
		{"weight", func(t *trace.Trace) { t.Weights[3] = 0x7e00 }, "token 0 has a weight of NaN"},
		{"model", func(t *trace.Trace) { t.Model = "a\nb" }, `model "a\nb"`},
		{"model's shape", func(t *trace.Trace) { t.Model = "a n_layer=9" }, `model "a n_layer=9"`},
		{"invalid", func(t *trace.Trace) { t.Chosen[0] = 9 }, "expert 9, want 0 to 4"},
	} {
		tr := small()
		c.change(tr)
		var b bytes.Buffer
		err := tr.Export(&b, "csv")
		if err == nil || !strings.Contains(err.Error(), c.want) || b.Len() > 0 {
			t.Errorf("%s: got error %v and %d bytes, want %q and none", c.name, err, b.Len(), c.want)
		}
	}
}

// access is a record of libCacheSim's oracleGeneral.
type access struct {
	Time uint32
	ID   uint64
	Size uint32
	Next int64
}

func readOracle(t testing.TB, raw []byte) []access {
	t.Helper()
	if len(raw)%24 != 0 {
		t.Fatalf("%d bytes are no records of 24", len(raw))
	}
	accesses := make([]access, len(raw)/24)
	if _, err := binary.Decode(raw, binary.LittleEndian, accesses); err != nil {
		t.Fatal(err)
	}
	return accesses
}

func TestExportOracleGeneral(t *testing.T) {
	want := []access{
		{0, 3, 1, -1}, {0, 1, 1, 5}, {0, 5, 1, -1}, {0, 9, 1, -1}, // token 0
		{0, 1, 1, -1}, {0, 2, 1, -1}, // token 1, which layer 1 does not route
		{1, 4, 1, -1}, {1, 0, 1, -1}, {1, 7, 1, -1}, {1, 6, 1, -1}, // token 2
	}
	if diff := cmp.Diff(want, readOracle(t, export(t, small(), "oracleGeneral"))); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// The exported accesses have the miss ratios that libCacheSim measured on this trace,
// and Belady's rule on the exported next uses has libCacheSim's too.
func TestExportOracleGeneralRatios(t *testing.T) {
	raw, err := os.ReadFile(testdata(t, "traces/libcachesim-golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Traces map[string]struct {
			Requests  int                           `json:"requests"`
			MissRatio map[string]map[string]float64 `json:"miss_ratio"`
		} `json:"traces"`
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	want := golden.Traces["tiny_public"]
	tr, err := trace.Open(testdata(t, "models/tiny-qwen3-moe/reference/trace.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	accesses := readOracle(t, export(t, tr, "oracleGeneral"))
	if len(accesses) != want.Requests || len(want.MissRatio["belady"]) == 0 {
		t.Fatalf("%d accesses, want %d; golden ratios: %v", len(accesses), want.Requests, want.MissRatio)
	}
	for slots, ratio := range want.MissRatio["belady"] {
		var n int
		if _, err := fmt.Sscan(slots, &n); err != nil {
			t.Fatal(err)
		}
		got := beladyMisses(accesses, n, tr.Layers*tr.Experts)
		if diff := float64(got)/float64(len(accesses)) - ratio; diff > 5e-5 || diff < -5e-5 {
			t.Errorf("belady with %d slots: %d misses are not %v of %d", n, got, ratio, len(accesses))
		}
	}
}

// beladyMisses evicts the expert whose next use is farthest ahead.
func beladyMisses(accesses []access, slots, bank int) (misses int) {
	next := make([]int64, bank) // of those resident; 0: not resident
	resident := make([]uint64, 0, slots)
	for _, a := range accesses {
		use := a.Next
		if use == -1 {
			use = 1 << 62
		}
		if next[a.ID] == 0 {
			misses++
			if len(resident) < slots {
				resident = append(resident, a.ID)
			} else {
				victim := 0
				for i, id := range resident {
					if next[id] > next[resident[victim]] {
						victim = i
					}
				}
				next[resident[victim]] = 0
				resident[victim] = a.ID
			}
		}
		next[a.ID] = use
	}
	return misses
}

func TestExportForm(t *testing.T) {
	for path, want := range map[string]string{
		"a.safetensors": "safetensors", "b/A.CSV": "csv", "c.oracleGeneral": "oracleGeneral",
		"c.oracleGeneral.bin": "oracleGeneral", "d.bin": "", "csv": "",
	} {
		got, err := trace.ExportForm(path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", path, got, err, want)
		}
	}
	if err := small().Export(&bytes.Buffer{}, "zip"); err == nil {
		t.Error("an unknown form: got no error")
	}
}

func TestLeft(t *testing.T) {
	for form, want := range map[string][]string{
		"safetensors": nil, "csv": {"predicted", "input_ids"},
		"oracleGeneral": {"weights", "predicted", "input_ids"},
	} {
		if diff := cmp.Diff(want, small().Left(form)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
	}
}
