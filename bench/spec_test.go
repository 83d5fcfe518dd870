package bench

import (
	"strings"
	"testing"

	"ufm/moe"
)

func TestValidate(t *testing.T) {
	good := newSpec(t, moe.UFM)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Spec)
		want   string
	}{
		{"no mode", func(s *Spec) { s.Modes = nil }, "no mode"},
		{"a mode twice", func(s *Spec) {
			s.Modes = []moe.Mode{moe.UFM, moe.UFM}
		}, "ufm is asked for twice"},
		{"no tokens", func(s *Spec) { s.Tokens = 0 }, "tokens must lie between"},
		{"too many tokens", func(s *Spec) { s.Tokens = MaxTokens + 1 }, "tokens must lie between"},
		{"nothing to measure", func(s *Spec) { s.Steps = 0 }, "neither steps (0) nor a duration"},
		{"negative steps", func(s *Spec) { s.Steps = -1 }, "neither steps (-1)"},
		{"policy", func(s *Spec) { s.Policy = "oracle" }, `"oracle"`},
		{"budget", func(s *Spec) { s.Budget = Budget{Bytes: 1} }, "below one expert"},
		{"events without ufm", func(s *Spec) {
			s.Modes, s.Events = []moe.Mode{moe.Naive}, &strings.Builder{}
		}, "event log needs mode ufm"},
		{"two problems", func(s *Spec) { s.Tokens, s.Steps = 0, 0 }, "tokens must lie"},
		{"two problems", func(s *Spec) { s.Tokens, s.Steps = 0, 0 }, "neither steps"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good
			c.change(&s)
			if err := s.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestParseMode(t *testing.T) {
	for _, want := range allModes {
		if got, err := ParseMode(want.String()); err != nil || got != want {
			t.Errorf("%s: got %v, %v", want, got, err)
		}
	}
	_, err := ParseMode("fast")
	if err == nil || !strings.Contains(err.Error(), "baseline, naive, published, ufm") {
		t.Errorf("got %v, want an error that lists the modes", err)
	}
}

// A routing is fed the same to every mode, and recorded rows cycle.
func TestFeed(t *testing.T) {
	spec := newSpec(t, moe.UFM)
	routing, err := moe.ParseRouting("uniform", testShape, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec.Routing = routing
	a, err := newFeed(&spec).next(3)
	if err != nil {
		t.Fatal(err)
	}
	f := newFeed(&spec)
	if _, err := f.next(2); err != nil {
		t.Fatal(err)
	}
	b, err := f.next(3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Routing {
		if a.Routing[i] != b.Routing[i] {
			t.Fatalf("id %d of step 3: got %d and %d", i, a.Routing[i], b.Routing[i])
		}
	}

	spec = recorded(t, 7, moe.UFM)
	last, err := newFeed(&spec).next(13) // rows 91..97 of 96
	if err != nil {
		t.Fatal(err)
	}
	d := 128
	for _, row := range []struct{ token, recorded int }{{0, 91}, {4, 95}, {5, 0}, {6, 1}} {
		for l := range 4 {
			got := last.Input[(l*7+row.token)*d]
			if want := spec.Activations.Input[l][row.recorded*d]; got != want {
				t.Errorf("layer %d, token %d: got %v, want row %d, %v", l, row.token, got, row.recorded, want)
			}
		}
	}
}
