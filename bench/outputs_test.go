package bench

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ufm/internal/trace"
	"ufm/moe"
	"ufm/sim"
)

// A run's event log is what the pager decides with nothing behind it, and the trace is
// of the same groups.
func TestOutputsReplay(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"decode":      func(s *Spec) { s.Tokens, s.Steps = 1, 40 },
		"prefill":     func(*Spec) {},
		"lru":         func(s *Spec) { s.Policy = "lru" },
		"one slot":    func(s *Spec) { s.Budget = Budget{Percent: 1} },
		"whole bank":  func(s *Spec) { s.Budget = Budget{Percent: 100} },
		"with checks": func(s *Spec) { s.Verify = true },
	} {
		t.Run(name, func(t *testing.T) {
			var events, chosen bytes.Buffer
			spec := newSpec(t, moe.Published, moe.UFM)
			spec.Events, spec.TraceOut = &events, &chosen
			change(&spec)
			mustRun(t, newTapped(t, moe.CPUOptions{}), spec)
			tr, err := trace.Read(bytes.NewReader(chosen.Bytes()), int64(chosen.Len()), "trace")
			if err != nil {
				t.Fatal(err)
			}
			if lines := strings.Count(events.String(), "\n"); lines < 1+2*(spec.Steps+2) {
				t.Errorf("got %d lines for %d steps of 2 layers and 2 before", lines, spec.Steps)
			}
			if d, err := sim.CheckTrace(&events, tr); err != nil || d != nil {
				t.Errorf("the log is not what its trace gives: %v, %v", d, err)
			}
		})
	}
}

// Without mode ufm the trace is the first mode's.
func TestTraceOfTheFirstMode(t *testing.T) {
	var chosen bytes.Buffer
	spec := newSpec(t, moe.Naive, moe.Published)
	spec.TraceOut = &chosen
	mustRun(t, newTapped(t, moe.CPUOptions{}), spec)
	tr, err := trace.Read(bytes.NewReader(chosen.Bytes()), int64(chosen.Len()), "trace")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(tr.StepSizes), warmUpSteps+spec.Steps; got != want {
		t.Errorf("got %d steps, want %d", got, want)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("disk is full") }

func TestOutputsThatCannotBeWritten(t *testing.T) {
	for _, change := range []func(*Spec){
		func(s *Spec) { s.Events = fullDisk{} },
		func(s *Spec) { s.TraceOut = fullDisk{} },
	} {
		spec := newSpec(t, moe.UFM)
		change(&spec)
		r := mustRun(t, newTapped(t, moe.CPUOptions{}), spec)[0]
		if r.Status != StatusError || !strings.Contains(*r.Error, "disk is full") {
			t.Errorf("got %s: %s", r.Status, show(r.Error, same))
		}
	}
}
