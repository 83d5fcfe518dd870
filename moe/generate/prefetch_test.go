package generate

import (
	"strings"
	"testing"
	"time"

	"ufm/moe"
	"ufm/pager"
)

// decoded is what decode steps cost in a test: with prefetching and without.
type decoded struct {
	with, without time.Duration
	misses        int64
	busy          float64 // share of the time in which the link moves a kilobyte a step
	saved         int64   // bytes of prefetched experts that were used
}

// feed runs a switch until it has settled.
func (d decoded) feed(p *prefetchSwitch) {
	for range warmUpSteps + 4*trialSteps {
		u := used{wall: d.without, moved: 1000, misses: d.misses}
		if p.now(pager.Decode, 1) {
			u.wall, u.prefetched = d.with, d.saved
		}
		u.upload = time.Duration(d.busy * float64(u.wall))
		p.took(u)
	}
}

func TestPrefetchAutoMeasures(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		decoded
		on     bool
		reason string
	}{
		"faster":        {decoded{8 * ms, 10 * ms, 3, 0.5, 500}, true, "8 ms with it, 10 ms without"},
		"slower":        {decoded{11 * ms, 10 * ms, 3, 0.5, 500}, false, "11 ms with it, 10 ms without"},
		"hardly faster": {decoded{9950 * time.Microsecond, 10 * ms, 3, 0.5, 500}, false, "without"},
		"by chance":     {decoded{8 * ms, 10 * ms, 3, 0.5, 10}, false, "can have saved 0.04"},
		"times unknown": {decoded{8 * ms, 10 * ms, 3, 0, 0}, true, "8 ms with it"},
		"busy link":     {decoded{8 * ms, 10 * ms, 3, 0.95, 500}, false, "busy 95 %"},
		"no misses":     {decoded{8 * ms, 10 * ms, 0, 0, 0}, false, "nothing missed"},
	} {
		t.Run(name, func(t *testing.T) {
			var p prefetchSwitch
			test.feed(&p)
			if p.now(pager.Decode, 1) != test.on || !strings.Contains(p.state(), test.reason) {
				t.Errorf("got %q, want %t with %q", p.state(), test.on, test.reason)
			}
		})
	}
}

// TestPrefetchAutoKnowsTrends: steps that become faster by themselves, as while a pool fills,
// are not prefetching's doing.
func TestPrefetchAutoKnowsTrends(t *testing.T) {
	var p prefetchSwitch
	for i := range warmUpSteps + 4*trialSteps {
		wall := time.Duration(100-i) * time.Millisecond
		if p.now(pager.Decode, 1) {
			wall += 2 * time.Millisecond
		}
		p.took(used{wall: wall, misses: 3, prefetched: 1e9})
	}
	if p.now(pager.Decode, 1) || p.trial != settled {
		t.Errorf("got %q, though each token took longer with it", p.state())
	}
}

func TestPrefetchAutoTriesAgain(t *testing.T) {
	var p prefetchSwitch
	decoded{with: 8, without: 10, misses: 3}.feed(&p)
	if !p.now(pager.Decode, 1) {
		t.Fatalf("got %q, want it on", p.state())
	}
	for range settledSteps {
		p.took(used{wall: 8, moved: 1000, misses: 3})
	}
	decoded{with: 12, without: 10, misses: 3}.feed(&p)
	if p.now(pager.Decode, 1) {
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
		if on := want == PrefetchGate; p.now(pager.Prefill, 1) != on || p.now(pager.Decode, 1) != on {
			t.Errorf("%s: got %t for the first token", want, p.now(pager.Decode, 1))
		}
	}
	if _, err := ParsePrefetch("always"); err == nil {
		t.Error("an unknown mode is accepted")
	}
}

// TestPrefetchOfWideSteps: a prompt's step prefetches if it needs nearly all experts and what was
// prefetched before it was used; on a device that shares the host's memory it never does.
func TestPrefetchOfWideSteps(t *testing.T) {
	shape := moe.Shape{Experts: 128, TopK: 8}
	p := newPrefetchSwitch(Options{}, shape, moe.Device{})
	if p.now(pager.Prefill, 63) || !p.now(pager.Prefill, 64) || p.now(pager.Decode, 64) {
		t.Error("64 prompt tokens of 8 choices are a wide step for 128 experts, 63 are not")
	}
	p.tookWide(400, 300)
	if !p.now(pager.Prefill, 64) || !strings.Contains(p.state(), "in prefill on, 300 of 400") {
		t.Errorf("got %q, want it on where three quarters are used", p.state())
	}
	if p.tookWide(4, 2); p.now(pager.Prefill, 64) || !strings.Contains(p.state(), "in prefill off") {
		t.Errorf("got %q, want it off, as less are used", p.state())
	}
	for range wideRest {
		if p.now(pager.Prefill, 64) {
			t.Fatal("it does not rest")
		}
		p.tookWide(0, 0)
	}
	if !p.now(pager.Prefill, 64) {
		t.Errorf("got %q, want it tried again", p.state())
	}
	if p = newPrefetchSwitch(Options{}, shape, moe.Device{Unified: true}); p.now(pager.Prefill, 512) {
		t.Error("it prefetches though device and host share one memory")
	}
	for mode, on := range map[Prefetch]bool{PrefetchGate: true, PrefetchOff: false} {
		p = newPrefetchSwitch(Options{Prefetch: mode}, shape, moe.Device{})
		if p.now(pager.Prefill, 512) != on {
			t.Errorf("%s: got %t for a wide step", mode, !on)
		}
	}
}

func TestLinkWithoutTimestamps(t *testing.T) {
	p := prefetchSwitch{linkGBs: 10}
	for range warmUpSteps + trialSteps {
		p.took(used{wall: time.Millisecond, moved: 9_500_000, misses: 3})
	}
	if !strings.Contains(p.state(), "busy 95 %") {
		t.Errorf("got %q, want the share that bytes and rate give", p.state())
	}
}
