package moe

import (
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"os"
	"testing"

	"ufm/internal/safetensors"
	"ufm/moe/tiny"
)

// trained are the checkpoints whose logits were recorded.
var trained = []string{tiny.Name, "qwen3_moe", "mixtral", "olmoe"}

// trainedFiles is the folder of a trained checkpoint, and where its recording is.
func trainedFiles(t *testing.T, name string) (fsys fs.FS, recording string) {
	t.Helper()
	if name == tiny.Name {
		return tiny.FS(), tiny.ActivationsFile
	}
	return os.DirFS(sharedData(t, "vectors", name)), "activations.safetensors"
}

func openText(t *testing.T, name string) *TextCheckpoint {
	t.Helper()
	fsys, _ := trainedFiles(t, name)
	c, err := OpenText(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// recordedLogits are a recording's tokens and their logits, (tokens, vocab).
func recordedLogits(t *testing.T, name string) (ids []int32, logits []float32) {
	t.Helper()
	fsys, recording := trainedFiles(t, name)
	f, err := fsys.Open(recording)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Open(f.(interface {
		ReadAt([]byte, int64) (int, error)
	}), info.Size(), recording)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := file.Bytes("input_ids")
	if err != nil {
		t.Fatal(err)
	}
	for ; len(raw) > 0; raw = raw[8:] {
		ids = append(ids, int32(binary.LittleEndian.Uint64(raw)))
	}
	if raw, err = file.Bytes("logits"); err != nil {
		t.Fatal(err)
	}
	logits = make([]float32, len(raw)/4)
	decode(logits, raw, F32)
	return ids, logits
}

// continuation is a prompt and what the reference implementation made of it, always
// taking the likeliest token.
type continuation struct {
	Domain string
	Prompt []int32 `json:"prompt_ids"`
	Output []int32 `json:"output_ids"`
}

// recordedText are a checkpoint's recorded continuations; for the tiny one, sequences and
// their mean negative log-likelihood too.
func recordedText(t *testing.T, name string) (greedy []continuation, eval [][]int32, nll float64) {
	t.Helper()
	var text struct {
		NLL    float64
		Eval   [][]int32 `json:"eval_ids"`
		Greedy []continuation
		continuation
	}
	path := sharedData(t, "vectors", name, "greedy.json")
	if name == tiny.Name {
		path = sharedData(t, "models", name, "reference", "text.json")
	}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &text)
	}
	if err != nil {
		t.Fatal(err)
	}
	if name != tiny.Name {
		text.Greedy = []continuation{text.continuation}
	}
	return text.Greedy, text.Eval, text.NLL
}

// TestReferenceText compares the float64 reference with what an independent
// implementation recorded.
func TestReferenceText(t *testing.T) {
	for _, name := range trained {
		t.Run(name, func(t *testing.T) {
			m := openText(t, name)
			ids, want := recordedLogits(t, name)
			r, err := ReferenceText(m, ids)
			if err != nil {
				t.Fatal(err)
			}
			d := Compare(want, r.Logits, m.Config().Vocab)
			t.Logf("NMSE %.2g, by token %.2g", d.NMSE, d.TokenNMSE)
			if d.NMSE > 1e-10 || d.TokenNMSE > 1e-10 {
				t.Errorf("recorded logits: got %+v, want NMSE <= 1e-10 for each token", d)
			}
		})
	}
}
