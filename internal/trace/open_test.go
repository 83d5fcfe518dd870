package trace_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ufm/internal/trace"

	"github.com/google/go-cmp/cmp"
)

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A file's first bytes tell its form, whatever it is called.
func TestOpenTellsForms(t *testing.T) {
	for _, c := range []struct {
		name  string
		data  []byte
		hints trace.Hints
		steps []int32
	}{
		{"safetensors", write(t, small()), trace.Hints{}, []int32{2, 1}},
		{"csv", []byte(route), trace.Hints{}, []int32{2, 1, 1}},
		{"csv with a byte-order mark", []byte("\ufeff" + route), trace.Hints{}, []int32{2, 1, 1}},
		{"megatron", []byte(routerTrace), trace.Hints{Experts: 5}, []int32{2, 1}},
		{"megatron after a line", []byte("\r\n" + routerTrace), trace.Hints{Experts: 5}, []int32{2, 1}},
		{"npy", []byte(savedByNumpy), trace.Hints{Experts: 5}, []int32{1, 1, 1}},
		{"npy with prefill", []byte(savedByNumpy), trace.Hints{Experts: 5, Prefill: 3}, []int32{3}},
		{"all hints", []byte(savedByNumpy), trace.Hints{Layers: 2, Experts: 5, TopK: 2}, []int32{1, 1, 1}},
	} {
		got, err := trace.OpenWith(writeFile(t, "recorded", c.data), c.hints)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.steps, got.StepSizes); diff != "" {
			t.Errorf("%s: step sizes (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	const noForm = "no form of a trace that is known"
	for _, c := range []struct {
		name  string
		data  string
		hints trace.Hints
		want  string
	}{
		{"empty", "", trace.Hints{}, noForm},
		{"text", "turn,phase\n", trace.Hints{}, noForm},
		{"empty.csv", "", trace.Hints{}, "line 1: 0 layers"},
		{"headless.csv", "turn,phase\n", trace.Hints{}, "line 1: no comment with n_layer"},
		{"empty.jsonl", "", trace.Hints{Experts: 4}, "line 1: no tokens"},
		{"empty.npy", "", trace.Hints{Experts: 4}, "byte 0: no npy file"},
		{"empty.safetensors", "", trace.Hints{}, "file of 0 bytes is too short"},
		{"events.jsonl", `{"version":1}`, trace.Hints{}, "an event log, not a trace: ufm sim --check"},
		{"other.jsonl", `{"other":1}`, trace.Hints{Experts: 4}, `line 1: no field "step"`},
		{"m.jsonl", routerTrace, trace.Hints{}, "ufm trace convert "},
		{"a.npy", savedByNumpy, trace.Hints{}, "does not tell how many experts a layer has"},
		{"a.npy", savedByNumpy, trace.Hints{Experts: 5, Layers: 3}, "layers are 2 in the file, not 3"},
		{"a.npy", savedByNumpy, trace.Hints{Experts: 5, TopK: 1}, "top-k are 2 in the file, not 1"},
		{"a.npy", savedByNumpy, trace.Hints{Experts: 5, Prefill: 4}, "a prefill of 4 tokens in a trace of 3"},
		{"r.csv", route, trace.Hints{Experts: 6}, "experts are 5 in the file, not 6"},
		{"r.csv", route, trace.Hints{Prefill: 1}, "the file has steps of its own"},
	} {
		path := writeFile(t, c.name, []byte(c.data))
		_, err := trace.OpenWith(path, c.hints)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got error %v, want one with the file and %q", c.name, err, c.want)
		}
	}
	dir := t.TempDir()
	if _, err := trace.Open(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder: got error %v", err)
	}
}
