package moe

import (
	"testing"

	"ufm/moe/tiny"
	"ufm/pager"
)

// TestCPUAgainstRecordings runs each trained checkpoint on its recorded inputs, with a
// quarter of its bank as budget, and compares every layer with the recorded outputs.
func TestCPUAgainstRecordings(t *testing.T) {
	for _, name := range []string{tiny.Name, "qwen3_moe", "mixtral", "olmoe"} {
		t.Run(name, func(t *testing.T) {
			m := openTrained(t, name)
			s := m.Shape()
			a := openRecording(t, name, s)
			b := Batch{Tokens: a.Tokens, PerLayer: true}
			for _, layer := range a.Input {
				b.Input = append(b.Input, layer...)
			}
			slots := s.Paging().Universe() / 4
			got, _ := run(t, m, 2, RunConfig{Mode: UFM, Slots: slots, Poison: true}, b, 1)
			v, err := CompareLayers(got.Capture, a.Output, s.DModel)
			if err != nil {
				t.Fatal(err)
			}
			if v.NMSE > 1e-11 || v.TokenNMSE > 1e-10 {
				t.Errorf("against the recording: got %+v, want NMSE <= 1e-11, by token <= 1e-10", v)
			}
			verify(t, m, got)
			sameExperts(t, s, got.Capture.Experts, a.Experts)
			t.Logf("NMSE %.2g, by token %.2g", v.NMSE, v.TokenNMSE)
		})
	}
}

// sameExperts compares the experts chosen with the recorded ones, in order.
func sameExperts(t *testing.T, s Shape, got []uint32, want [][]int16) {
	t.Helper()
	for l, layer := range want {
		for i, e := range layer {
			if g := got[l*len(layer)+i]; g != uint32(e) {
				t.Errorf("layer %d, token %d: got expert %d, want %d", l, i/s.TopK, g, e)
			}
		}
	}
}

// TestCPUModesOnTrained runs the embedded checkpoint in all modes, one token a step.
func TestCPUModesOnTrained(t *testing.T) {
	m := openTrained(t, tiny.Name)
	s := m.Shape()
	a := openRecording(t, tiny.Name, s)
	b := Batch{Tokens: 1, Phase: pager.Decode, PerLayer: true}
	for _, layer := range a.Input {
		b.Input = append(b.Input, layer[:s.DModel]...)
	}
	want, _ := run(t, m, 2, RunConfig{Mode: Baseline}, b, 1)
	for mode := Naive; mode <= UFM; mode++ {
		got, _ := run(t, m, 2, RunConfig{Mode: mode, Slots: 5, Poison: true}, b, 3)
		sameBits(t, mode.String(), got.Capture.Output, want.Capture.Output)
	}
}
