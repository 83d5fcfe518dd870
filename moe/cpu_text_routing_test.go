package moe

import (
	"math"
	"slices"
	"testing"

	"ufm/internal/kernel"
	"ufm/internal/trace"
	"ufm/moe/tiny"
)

// TestCPUTextRouting routes the tokens of the recorded trace in its pieces and compares
// every choice. Where two experts are as likely but for 1e-6, either will do.
func TestCPUTextRouting(t *testing.T) {
	const piece = 256
	tr, err := trace.Open(sharedData(t, "models", tiny.Name, "reference", "trace.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	m := openText(t, tiny.Name)
	s := m.Shape()
	r := newText(t, newTestCPU(2, kernel.Best()), m, TextConfig{
		Run: RunConfig{Mode: UFM, Slots: s.Paging().Universe() / 4, MaxTokens: piece}, Context: piece})
	experts := make([]uint32, s.Layers*piece*s.TopK)
	ties, pieces := 0, 0
	for first := 0; first < tr.Tokens(); first += piece {
		if raceDetector && first/piece%10 != 0 {
			continue
		}
		r.Reset()
		ids := tr.InputIDs[first:][:piece]
		if _, err := r.Forward(t.Context(), &TextBatch{IDs: ids, Experts: experts}); err != nil {
			t.Fatal(err)
		}
		want := make([]uint32, 0, len(experts)) // (layers, tokens, top_k)
		for l := range s.Layers {
			for token := range piece {
				for _, e := range tr.Row(first+token, l) {
					want = append(want, uint32(e))
				}
			}
		}
		ties += checkTies(t, m, first, ids, experts, want)
		pieces++
	}
	t.Logf("%d pieces of %d tokens, %d ties", pieces, piece, ties)
	if pieces == 0 || len(tr.InputIDs) != tr.Tokens() {
		t.Errorf("%d pieces of %d tokens with %d ids", pieces, tr.Tokens(), len(tr.InputIDs))
	}
}

// checkTies compares choices, (layers, tokens, top_k), lists those that differ but are
// ties, and returns how many they are.
func checkTies(t *testing.T, m TextModel, first int, ids []int32, got, want []uint32) (ties int) {
	t.Helper()
	if slices.Equal(got, want) {
		return 0
	}
	ref, err := ReferenceText(m, ids)
	if err != nil {
		t.Fatal(err)
	}
	s := m.Shape()
	p := make([]float64, s.Experts)
	for i := range want {
		if got[i] == want[i] {
			continue
		}
		row := i / s.TopK // layer and token
		gate, err := m.Router(row / len(ids))
		if err != nil {
			t.Fatal(err)
		}
		referenceLogits(gate, ref.Inputs[row*s.DModel:][:s.DModel], p)
		softmax(p)
		if d := math.Abs(p[got[i]] - p[want[i]]); d > 1e-6 {
			t.Errorf("token %d, layer %d, place %d: got expert %d, want %d, %.2g likelier",
				first+row%len(ids), row/len(ids), i%s.TopK, got[i], want[i], d)
			continue
		}
		t.Logf("tie: token %d, layer %d, place %d: got expert %d for %d", first+row%len(ids),
			row/len(ids), i%s.TopK, got[i], want[i])
		ties++
	}
	return ties
}
