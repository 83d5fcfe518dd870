//go:build cgo && linux

package vulkan

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"ufm/moe"
)

// testData is where the recordings are, or the end of the test.
func testData(t *testing.T, parts ...string) string {
	t.Helper()
	trainedFiles(t, "vectors") // skips, or fails, where there is no test data
	return filepath.Join(append([]string{os.Getenv("UFM_TESTDATA")}, parts...)...)
}

// TestTextPerplexity scores recorded sequences in pieces whose logits do not fit the
// buffer at once.
func TestTextPerplexity(t *testing.T) {
	if os.Getenv("UFM_VALIDATION") != "" {
		t.Skip("the layers have seen these kernels with fewer tokens")
	}
	raw, err := os.ReadFile(testData(t, "models", "tiny-qwen3-moe", "reference", "text.json"))
	if err != nil {
		t.Fatal(err)
	}
	var text struct {
		NLL  float64
		Eval [][]int32 `json:"eval_ids"`
	}
	if err := json.Unmarshal(raw, &text); err != nil {
		t.Fatal(err)
	}
	b, m, bank := tinyText(t)
	vocab := m.Config().Vocab
	r := newText(t, b, m, bank, moe.TextConfig{
		Run:     moe.RunConfig{Mode: moe.UFM, Slots: m.Shape().Paging().Universe() / 4, MaxTokens: 128},
		Context: 256, Logits: 128, Prefetch: true})
	sum, tokens := 0.0, 0
	for _, ids := range text.Eval {
		r.Reset()
		logits := forward(t, r, vocab, ids, 128)
		for i, id := range ids[1:] {
			sum += surprise(logits[i*vocab:][:vocab], id)
		}
		tokens += len(ids) - 1
	}
	if got := sum / float64(tokens); !(math.Abs(got-text.NLL) <= 1e-5) {
		t.Errorf("got %.7f nats a token, want %.7f", got, text.NLL)
	}
}

// surprise is the negative log-likelihood of an id.
func surprise(logits []float32, id int32) float64 {
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v - logits[id]))
	}
	return math.Log(sum)
}
