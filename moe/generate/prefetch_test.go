package generate

import (
	"strings"
	"testing"
	"time"

	"ufm/moe"
	"ufm/pager"
)

// decodeWith feeds a switch with steps until it settled.
func decodeWith(p *prefetchSwitch, with, without time.Duration, misses int64, busy float64) {
	for range warmUpSteps + 2*trialSteps {
		wall := without
		if p.now(pager.Decode) {
			wall = with
		}
		p.took(moe.StepTimes{Wall: wall, Upload: time.Duration(busy * float64(wall))}, 1000, misses)
	}
}

func TestPrefetchAutoMeasures(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		with, without time.Duration
		misses        int64
		busy          float64
		on            bool
		reason        string
	}{
		"faster":        {8 * ms, 10 * ms, 3, 0.5, true, "8 ms with it, 10 ms without"},
		"slower":        {11 * ms, 10 * ms, 3, 0.5, false, "11 ms with it, 10 ms without"},
		"hardly faster": {9950 * time.Microsecond, 10 * ms, 3, 0.5, false, "without"},
		"busy link":     {8 * ms, 10 * ms, 3, 0.95, false, "busy 95 %"},
		"no misses":     {8 * ms, 10 * ms, 0, 0, false, "nothing missed"},
	} {
		t.Run(name, func(t *testing.T) {
			var p prefetchSwitch
			decodeWith(&p, test.with, test.without, test.misses, test.busy)
			if p.now(pager.Decode) != test.on || !strings.Contains(p.state(), test.reason) {
				t.Errorf("got %q, want %t with %q", p.state(), test.on, test.reason)
			}
			if p.now(pager.Prefill) {
				t.Error("prefill, which needs nearly all experts, prefetches")
			}
		})
	}
}

func TestPrefetchAutoTriesAgain(t *testing.T) {
	var p prefetchSwitch
	decodeWith(&p, 8, 10, 3, 0)
	for range settledSteps {
		p.took(moe.StepTimes{Wall: 8}, 1000, 3)
	}
	decodeWith(&p, 12, 10, 3, 0)
	if p.now(pager.Decode) {
		t.Errorf("got %q after prefetching had become slower", p.state())
	}
}

func TestPrefetchModes(t *testing.T) {
	for _, want := range []Prefetch{PrefetchAuto, PrefetchGate, PrefetchOff} {
		got, err := ParsePrefetch(want.String())
		if err != nil || got != want {
			t.Errorf("got %v, %v for %s", got, err, want)
		}
		p := prefetchSwitch{mode: want}
		if on := want == PrefetchGate; p.now(pager.Prefill) != on || p.now(pager.Decode) != on {
			t.Errorf("%s: got %t for the first token", want, p.now(pager.Decode))
		}
	}
	if _, err := ParsePrefetch("always"); err == nil {
		t.Error("an unknown mode is accepted")
	}
}

func TestLinkWithoutTimestamps(t *testing.T) {
	p := prefetchSwitch{linkGBs: 10}
	for range warmUpSteps + trialSteps {
		p.took(moe.StepTimes{Wall: time.Millisecond}, 9_500_000, 3)
	}
	if !strings.Contains(p.state(), "busy 95 %") {
		t.Errorf("got %q, want the share that bytes and rate give", p.state())
	}
}
