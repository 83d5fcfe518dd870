package trace_test

import (
	"testing"

	"ufm/internal/trace"

	"github.com/google/go-cmp/cmp"
)

// A prefill of two tokens, then three decode steps, on two layers of ten experts.
func TestDescribe(t *testing.T) {
	tr := &trace.Trace{
		Model: "m", Layers: 2, Experts: 10, TopK: 1,
		Chosen: []int16{
			0, 5, // prefill
			1, -1,
			0, 5, // decode
			2, 6,
			0, 5,
		},
		StepSizes: []int32{2, 1, 1, 1},
		Phases:    []trace.Phase{trace.Prefill, trace.Decode, trace.Decode, trace.Decode},
	}
	n := func(v int) *int { return &v }
	// The uses in order, ids of layer 1 primed: 0 1 5' | 0 5' | 2 6' | 0 5'.
	// Distances: 0 after 1 5' is 2; 5' after 0 is 1; 0 after 5' 2 6' is 3; 5' after 2 6' 0 is 3.
	want := trace.Description{
		Model: "m", Layers: 2, Experts: 10, TopK: 1, Bank: 20, Tokens: 5, Steps: 4, TokenCycle: 2,
		Uses: []trace.Use{
			{Phase: "all", Steps: 4, Tokens: 5, Accesses: 9, Distinct: 5, HotShare: 6.0 / 9,
				ReuseMedian: n(2), ReuseP90: n(3), ReuseP99: n(3), ReuseMax: n(3)},
			{Phase: "prefill", Steps: 1, Tokens: 2, Accesses: 3, Distinct: 3, HotShare: 2.0 / 3},
			{Phase: "decode", Steps: 3, Tokens: 3, Accesses: 6, Distinct: 4, HotShare: 4.0 / 6,
				ReuseMedian: n(2), ReuseP90: n(3), ReuseP99: n(3), ReuseMax: n(3)},
			{Layer: n(0), Phase: "all", Steps: 4, Tokens: 5, Accesses: 5, Distinct: 3, HotShare: 3.0 / 5,
				ReuseMedian: n(2), ReuseP90: n(3), ReuseP99: n(3), ReuseMax: n(3)},
			{Layer: n(0), Phase: "prefill", Steps: 1, Tokens: 2, Accesses: 2, Distinct: 2, HotShare: 0.5},
			{Layer: n(0), Phase: "decode", Steps: 3, Tokens: 3, Accesses: 3, Distinct: 2, HotShare: 2.0 / 3,
				ReuseMedian: n(2), ReuseP90: n(3), ReuseP99: n(3), ReuseMax: n(3)},
			{Layer: n(1), Phase: "all", Steps: 4, Tokens: 4, Accesses: 4, Distinct: 2, HotShare: 3.0 / 4,
				ReuseMedian: n(1), ReuseP90: n(3), ReuseP99: n(3), ReuseMax: n(3)},
			{Layer: n(1), Phase: "prefill", Steps: 1, Tokens: 1, Accesses: 1, Distinct: 1, HotShare: 1},
			{Layer: n(1), Phase: "decode", Steps: 3, Tokens: 3, Accesses: 3, Distinct: 2, HotShare: 2.0 / 3,
				ReuseMedian: n(1), ReuseP90: n(3), ReuseP99: n(3), ReuseMax: n(3)},
		},
	}
	if diff := cmp.Diff(want, tr.Describe()); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
}

// One phase has no rows for all phases, and nothing used twice has no distances.
func TestDescribeOnePhase(t *testing.T) {
	tr := &trace.Trace{
		Layers: 1, Experts: 3, TopK: 2, Chosen: []int16{2, 0},
		StepSizes: []int32{1}, Phases: []trace.Phase{trace.Decode},
	}
	use := trace.Use{Phase: "decode", Steps: 1, Tokens: 1, Accesses: 2, Distinct: 2, HotShare: 0.5}
	layer := use
	layer.Layer = new(int)
	if diff := cmp.Diff([]trace.Use{use, layer}, tr.Describe().Uses); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
}
