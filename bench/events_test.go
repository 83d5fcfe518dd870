package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"ufm/moe"
	"ufm/moe/generate"
	"ufm/moe/tiny"
	"ufm/moe/vulkan"
	"ufm/pager"
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
		if b.Name() == "vulkan" && b.Device().Unified {
			each /= 5 // cores run the kernels
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
		total += checkText(t, b, each)
		t.Logf("%s, %s: %d accesses, no difference", b.Name(), b.Device().Name, total)
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

// checkRun runs steps until so many accesses were made, and returns how many were.
func checkRun(
	t *testing.T, b moe.Backend, name string, accesses int64, set func(*Spec),
) (made int64) {
	t.Helper()
	spec := Spec{Modes: []moe.Mode{moe.UFM}, Seed: 1}
	set(&spec)
	s := spec.Model.Shape()
	spec.Steps = int(accesses/int64(s.Layers*min(s.Experts, spec.Tokens*s.TopK))) + 1
	checkLog(t, b.Name()+", "+name, func(events io.Writer) error {
		spec.Events = events
		rows, err := Run(context.Background(), b, spec, nil)
		if err != nil || rows[0].Status != StatusOK {
			return errors.Join(err, fmt.Errorf("rows %+v", rows))
		}
		made = *rows[0].Hits + *rows[0].Misses
		return nil
	})
	return made
}

// checkText lets the trained checkpoint that is built in write tokens, with the experts of
// each next layer prefetched, until so many accesses were made.
func checkText(t *testing.T, b moe.Backend, accesses int64) (made int64) {
	t.Helper()
	prefetches := 0
	checkLog(t, b.Name()+", text with prefetch", func(events io.Writer) (err error) {
		model, err := moe.OpenText(tiny.FS(), tiny.Name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, model.Close()) }()
		s, err := generate.New(b.(moe.TextBackend), model, generate.Options{
			Context: 256, Slots: 96, Prefetch: generate.PrefetchGate, Events: events,
			Observe: func(ev *pager.Event) {
				made += int64(len(ev.Hits) + len(ev.Misses))
				prefetches += len(ev.Prefetches)
			},
		})
		if err != nil {
			return err
		}
		bank, err := b.NewBank(context.Background(), model, nil)
		if err != nil {
			return errors.Join(err, s.Close())
		}
		err = s.Attach(context.Background(), bank)
		for seed := uint64(1); err == nil && made < accesses; seed++ {
			_, err = s.Generate(context.Background(), generate.Request{
				Prompt: make([]int32, 32), MaxTokens: 224,
				Sampling: generate.Sampling{Temperature: 1, Seed: seed},
			}, nil)
		}
		return errors.Join(err, s.Close(), bank.Close())
	})
	if prefetches == 0 {
		t.Errorf("%s: nothing was prefetched", b.Name())
	}
	return made
}

// checkLog lets run write an event log while a replay reads it.
func checkLog(t *testing.T, where string, run func(events io.Writer) error) {
	t.Helper()
	r, w := io.Pipe()
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
	err := run(w)
	w.CloseWithError(err)
	o := <-checked
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	if o.err != nil || o.diff != nil {
		t.Fatalf("%s: difference %v, error %v", where, o.diff, o.err)
	}
}
