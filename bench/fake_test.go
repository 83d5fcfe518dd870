package bench

import (
	"context"
	"math"
	"testing"

	"ufm/moe"
	"ufm/pager"
)

// testShape is small, and each of its figures differs from the others.
var testShape = moe.Shape{
	Layers: 2, Experts: 6, DModel: 16, DHidden: 24, TopK: 2, Form: moe.SwiGLU,
}

func newModel(t *testing.T, s moe.Shape) moe.Model {
	t.Helper()
	m, err := moe.NewSynthetic(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newSpec measures three steps of eight tokens in the given modes with half of the bank.
func newSpec(t *testing.T, modes ...moe.Mode) Spec {
	t.Helper()
	return Spec{
		Model: newModel(t, testShape), Modes: modes, Budget: Budget{Percent: 50},
		Tokens: 8, Seed: 1, Steps: 3, Ceilings: card,
	}
}

var allModes = []moe.Mode{moe.Baseline, moe.Naive, moe.Published, moe.UFM}

// tapped is the CPU backend with a tap on what passes.
type tapped struct {
	moe.Backend
	calls  []string                         // "runner <mode>" and "bank", in order
	onStep func(moe.Mode, *moe.Batch) error // after each step; may be nil
}

func newTapped(t *testing.T, o moe.CPUOptions) *tapped {
	b := &tapped{Backend: moe.NewCPU(o)}
	t.Cleanup(func() {
		if err := b.Backend.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *tapped) NewBank(
	ctx context.Context, m moe.Model, progress func(int64),
) (moe.Bank, error) {
	b.calls = append(b.calls, "bank")
	return b.Backend.NewBank(ctx, m, progress)
}

func (b *tapped) NewRunner(cfg moe.RunConfig) (moe.Runner, error) {
	b.calls = append(b.calls, "runner "+cfg.Mode.String())
	r, err := b.Backend.NewRunner(cfg)
	if err != nil {
		return nil, err
	}
	return &tappedRunner{Runner: r, mode: cfg.Mode, on: b}, nil
}

type tappedRunner struct {
	moe.Runner
	mode moe.Mode
	on   *tapped
}

func (r *tappedRunner) Step(ctx context.Context, b *moe.Batch) (moe.StepTimes, error) {
	times, err := r.Runner.Step(ctx, b)
	if err == nil && r.on.onStep != nil {
		err = r.on.onStep(r.mode, b)
	}
	return times, err
}

// nanModel has a weight that is not a number, as a damaged checkpoint may.
type nanModel struct{ moe.Model }

func (m nanModel) FillExpert(e pager.ExpertID, dst []byte) error {
	if e == 3 {
		return errNaN
	}
	return m.Model.FillExpert(e, dst)
}

// watcher is an observer that keeps what it is told.
type watcher struct {
	silent
	notes    []string
	finished func(Row) // may be nil
}

func (w *watcher) Note(line string) { w.notes = append(w.notes, line) }

func (w *watcher) Finished(r Row) {
	if w.finished != nil {
		w.finished(r)
	}
}

// nextAfter is the smallest change that a float32 can have.
func nextAfter(v float32) float32 { return math.Nextafter32(v, v+1) }
