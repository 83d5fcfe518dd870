package bench

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"ufm/moe"
	"ufm/moe/vulkan"
	"ufm/sim"
	"ufm/vk"
)

// eventRuns are kinds of runs whose event logs must be what a replay decides. Experts are
// tiny, so that most of the time goes into paging.
var eventRuns = []struct {
	name    string
	shape   moe.Shape
	tokens  int
	slots   int
	policy  string
	routing string
}{
	{"decode", moe.Shape{Layers: 12, Experts: 64, TopK: 8}, 1, 200, "nextuse", "sticky:0.4"},
	{"decode below a token cycle", moe.Shape{Layers: 12, Experts: 64, TopK: 8}, 1, 60, "nextuse", "zipf:0.8"},
	{"prefill", moe.Shape{Layers: 6, Experts: 128, TopK: 8}, 64, 500, "nextuse", "uniform"},
	{"prefill in a pool smaller than a group", moe.Shape{Layers: 4, Experts: 128, TopK: 8}, 64, 40, "lru", "uniform"},
	{"few tokens", moe.Shape{Layers: 6, Experts: 64, TopK: 4}, 5, 120, "s3fifo", "zipf:1"},
}

// UFM_EVENTS=million makes over a million accesses; else a short run of each kind.
func TestEventLogsOfRealRuns(t *testing.T) {
	for _, b := range eventBackends(t) {
		each := int64(5000)
		if os.Getenv("UFM_EVENTS") == "million" {
			each = 220000
		}
		if b.Name() == "vulkan" {
			each /= 5
		}
		total := int64(0)
		for _, run := range eventRuns {
			total += checkRun(t, b, run.name, each, func(spec *Spec) {
				spec.Model = must(moe.NewSynthetic(withSmallExperts(run.shape), 1))
				spec.Routing = must(moe.ParseRouting(run.routing, spec.Model.Shape(), 1, nil))
				spec.Tokens, spec.Policy = run.tokens, run.policy
				spec.Budget = Budget{Bytes: int64(run.slots) * spec.Model.Shape().ExpertBytes()}
			})
		}
		t.Logf("%s: %d accesses, no difference", b.Name(), total)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func withSmallExperts(s moe.Shape) moe.Shape {
	s.DModel, s.DHidden = 8, 8
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// eventBackends are the CPU and, where there is one, a Vulkan device.
func eventBackends(t *testing.T) []moe.Backend {
	t.Helper()
	backends := []moe.Backend{moe.NewCPU(moe.CPUOptions{})}
	b, err := vulkan.Open(vulkan.Options{})
	switch {
	case err == nil:
		backends = append(backends, b)
	case os.Getenv("UFM_VULKAN") == "required" || !errors.Is(err, vk.ErrNoLoader) &&
		!errors.Is(err, vk.ErrNoCgo) && !errors.Is(err, vk.ErrNoDevice):
		t.Fatal(err)
	default:
		t.Logf("SKIPPED: runs on Vulkan: %v", err)
	}
	return backends
}

// checkRun runs steps until so many accesses were made, while a replay reads the event
// log; it returns how many were.
func checkRun(
	t *testing.T, b moe.Backend, name string, accesses int64, set func(*Spec),
) int64 {
	t.Helper()
	spec := Spec{Modes: []moe.Mode{moe.UFM}, Seed: 1}
	set(&spec)
	s := spec.Model.Shape()
	spec.Steps = int(accesses/int64(s.Layers*min(s.Experts, spec.Tokens*s.TopK))) + 1
	r, w := io.Pipe()
	spec.Events = w
	type outcome struct {
		diff *sim.Difference
		err  error
	}
	checked := make(chan outcome)
	go func() {
		diff, err := sim.Check(r)
		r.CloseWithError(err)
		checked <- outcome{diff, err}
	}()
	rows, err := Run(context.Background(), b, spec, nil)
	w.CloseWithError(err)
	o := <-checked
	if err != nil || rows[0].Status != StatusOK {
		t.Fatalf("%s, %s: %v %+v", b.Name(), name, err, rows)
	}
	if o.err != nil || o.diff != nil {
		t.Fatalf("%s, %s: difference %v, error %v", b.Name(), name, o.diff, o.err)
	}
	return *rows[0].Hits + *rows[0].Misses
}
