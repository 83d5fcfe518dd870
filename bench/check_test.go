package bench

import (
	"strings"
	"testing"

	"ufm/moe"
	"ufm/moe/tiny"
)

// recorded is a run of the built-in checkpoint on its recording.
func recorded(t *testing.T, tokens int, modes ...moe.Mode) Spec {
	t.Helper()
	c, err := moe.OpenCheckpoint(tiny.FS(), tiny.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	text, err := tiny.FS().Open(tiny.ActivationsFile)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	info, err := text.Stat()
	if err != nil {
		t.Fatal(err)
	}
	a, err := moe.OpenActivations(text.(interface {
		ReadAt([]byte, int64) (int, error)
	}), info.Size(), tiny.ActivationsFile, c.Shape())
	if err != nil {
		t.Fatal(err)
	}
	return Spec{
		Model: c, Activations: a, Modes: modes, Budget: Budget{Percent: 25},
		Tokens: tokens, Steps: 1,
	}
}

// Every recorded token is checked, however many make a step.
func TestRecording(t *testing.T) {
	for _, tokens := range []int{1, 7, 96, 200} {
		r := mustRun(t, newTapped(t, moe.CPUOptions{}), recorded(t, tokens, moe.UFM))[0]
		if r.Status != StatusOK || *r.NMSE > maxNMSE || *r.NMSE == 0 {
			t.Errorf("%d tokens a step: got %s (%s), nmse %v",
				tokens, r.Status, show(r.Error, same), show(r.NMSE, scientific))
		}
	}
}

func TestRecordingOfAnotherModel(t *testing.T) {
	spec := recorded(t, 7, moe.UFM)
	spec.Activations.Output[2][95*128+5] += 0.01 // the last token
	r := mustRun(t, newTapped(t, moe.CPUOptions{}), spec)[0]
	if r.Status != StatusError || !strings.Contains(*r.Error, "layer 2, token 95") {
		t.Errorf("got %s: %s", r.Status, show(r.Error, same))
	}
	if r.NMSE == nil || r.MaxAbsErr == nil || *r.MaxAbsErr < 0.009 {
		t.Errorf("got nmse %v, error %v, want the figures that fail", r.NMSE, r.MaxAbsErr)
	}
}

func TestModesMustGiveTheSameBits(t *testing.T) {
	b := newTapped(t, moe.CPUOptions{})
	b.onStep = func(m moe.Mode, batch *moe.Batch) error {
		if m == moe.UFM && batch.Capture != nil {
			out := batch.Capture.Output
			out[len(out)-1] = nextAfter(out[len(out)-1])
		}
		return nil
	}
	spec := newSpec(t, moe.Baseline, moe.UFM)
	spec.Verify = true
	r := mustRun(t, b, spec)[1]
	const want = "ufm: step 0, layer 1, token 7: output 15"
	if r.Status != StatusError || !strings.Contains(*r.Error, want) {
		t.Errorf("got %s: %s", r.Status, show(r.Error, same))
	}
}
