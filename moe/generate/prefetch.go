package generate

import (
	"fmt"
	"slices"
	"time"

	"ufm/moe"
	"ufm/pager"
)

// Prefetch says when the next layer's experts are uploaded ahead of its router.
type Prefetch uint8

const (
	// PrefetchAuto decodes some tokens without prefetching and some with it, where the
	// link had time to spare, and keeps what was faster. In prefill it prefetches in steps
	// of so many tokens that hardly an expert stays unused.
	PrefetchAuto Prefetch = iota
	// PrefetchGate always uploads what the next layer's gate makes of the current
	// layer's hidden state.
	PrefetchGate
	// PrefetchOff never does.
	PrefetchOff
)

var prefetchNames = [...]string{"auto", "gate", "off"}

// String is the name that flags and results use.
func (p Prefetch) String() string { return prefetchNames[p] }

// ParsePrefetch reads a name.
func ParsePrefetch(name string) (Prefetch, error) {
	for i, n := range prefetchNames {
		if n == name {
			return Prefetch(i), nil
		}
	}
	return 0, fmt.Errorf("generate: unknown prefetch %q (gate, off, auto)", name)
}

// The trials of PrefetchAuto, in decode steps: without prefetching, with it, and without again,
// so that what changes steadily on the way, as while a cache fills, counts on both sides. What was
// settled is tried again, for a sequence may change its ways.
const (
	warmUpSteps  = 4
	trialSteps   = 8 // of each trial without it; that with it has twice as many
	settledSteps = 1024
)

// busyLink is the share of time from which on a link has none to spare.
const busyLink = 0.9

// A step is wide if it chooses each expert so many times on average: evenly chosen, one in fifty
// is then left out. Its prefetches are worth the link's time if such a share of them is used;
// after a step where it is not, so many go without.
const (
	wideChoices = 4
	worthUsed   = 0.75
	wideRest    = 15
)

// faster is the share of its time that prefetching must save to be worth its uploads.
const faster = 0.01

// prefetchSwitch turns prefetching on and off from step to step.
type prefetchSwitch struct {
	mode       Prefetch
	linkGBs    float64
	wide       int   // tokens of a wide step; 0: none is, as uploads take the device's own time
	made, used int64 // prefetches of wide steps
	rest       int   // wide steps that go without
	trial      trial
	steps      int             // of the current trial
	walls      []time.Duration // of its steps
	sum        used
	without    time.Duration // median step of the first trial without prefetching
	with       time.Duration // likewise with it
	most       time.Duration // that the prefetches which were used can have saved a step
	on         bool          // what was settled
	reason     string        // why
}

// trial is what PrefetchAuto is doing.
type trial uint8

const (
	warmUp trial = iota
	tryWithout
	tryWith
	tryWithoutAgain
	settled
)

// used is what decode steps took.
type used struct {
	wall       time.Duration
	upload     time.Duration // 0: unknown
	moved      int64         // bytes
	misses     int64
	prefetched int64 // bytes of prefetched experts that were used
}

// newPrefetchSwitch is for models of that shape on device d.
func newPrefetchSwitch(o Options, s moe.Shape, d moe.Device) prefetchSwitch {
	p := prefetchSwitch{mode: o.Prefetch, linkGBs: o.LinkGBs}
	if !d.Unified {
		p.wide = (wideChoices*s.Experts + s.TopK - 1) / s.TopK
	}
	return p
}

// now tells whether the next step, of so many tokens, prefetches.
func (p *prefetchSwitch) now(phase pager.Phase, tokens int) bool {
	switch p.mode {
	case PrefetchGate:
		return true
	case PrefetchOff:
		return false
	}
	if phase == pager.Prefill {
		return p.rest == 0 && p.isWide(phase, tokens)
	}
	return p.trial == tryWith || p.trial == settled && p.on
}

// isWide tells whether a step of so many tokens is wide.
func (p *prefetchSwitch) isWide(phase pager.Phase, tokens int) bool {
	return phase == pager.Prefill && p.wide > 0 && tokens >= p.wide
}

// tookWide learns what came of a wide step's prefetches.
func (p *prefetchSwitch) tookWide(made, used int64) {
	p.made += made
	p.used += used
	switch {
	case p.rest > 0:
		p.rest--
	case float64(used) < worthUsed*float64(made):
		p.rest = wideRest
	}
}

// took learns what one decode step used.
func (p *prefetchSwitch) took(u used) {
	if p.mode != PrefetchAuto {
		return
	}
	p.steps++
	if p.trial != settled {
		p.walls = append(p.walls, u.wall)
	}
	p.sum.wall += u.wall
	p.sum.upload += u.upload
	p.sum.moved += u.moved
	p.sum.misses += u.misses
	p.sum.prefetched += u.prefetched
	switch {
	case p.trial == warmUp && p.steps == warmUpSteps:
		p.begin(tryWithout)
	case p.trial == tryWithout && p.steps == trialSteps:
		p.endWithout()
	case p.trial == tryWith && p.steps == 2*trialSteps:
		p.endWith()
	case p.trial == tryWithoutAgain && p.steps == trialSteps:
		p.decide()
	case p.trial == settled && p.steps == settledSteps:
		p.begin(tryWithout)
	}
}

func (p *prefetchSwitch) begin(t trial) {
	p.trial, p.steps, p.sum, p.walls = t, 0, used{}, p.walls[:0]
}

// median is that of the trial's steps; one slow step shall not decide.
func (p *prefetchSwitch) median() time.Duration {
	slices.Sort(p.walls)
	return p.walls[len(p.walls)/2]
}

func (p *prefetchSwitch) settle(on bool, format string, args ...any) {
	p.on, p.reason = on, fmt.Sprintf(format, args...)
	p.begin(settled)
}

// endWithout tries prefetching only if there is something to fetch, and time for it.
func (p *prefetchSwitch) endWithout() {
	p.without = p.median()
	if p.sum.misses == 0 {
		p.settle(false, "nothing missed in %d tokens", trialSteps)
		return
	}
	moving, known := p.moving(p.sum.moved)
	if busy := moving.Seconds() / p.sum.wall.Seconds(); known && p.sum.wall > 0 && busy >= busyLink {
		p.settle(false, "the link was busy %.0f %% of the time", 100*busy)
		return
	}
	p.begin(tryWith)
}

// moving is the time that the link takes for so many bytes, as far as that is known.
func (p *prefetchSwitch) moving(bytes int64) (t time.Duration, known bool) {
	seconds := 0.0
	switch {
	case p.sum.upload > 0 && p.sum.moved > 0:
		seconds = p.sum.upload.Seconds() / float64(p.sum.moved)
	case p.linkGBs > 0:
		seconds = 1 / (1e9 * p.linkGBs)
	default:
		return 0, false
	}
	return time.Duration(seconds * float64(bytes) * float64(time.Second)), true
}

func (p *prefetchSwitch) endWith() {
	p.with = p.median()
	p.most = p.without
	if moving, known := p.moving(p.sum.prefetched); known {
		p.most = moving / time.Duration(p.steps)
	}
	p.begin(tryWithoutAgain)
}

// decide compares the trials. Prefetching saves at most the uploads that it had done before
// they were wanted: what goes beyond is something else's doing.
func (p *prefetchSwitch) decide() {
	with, without := p.with, (p.without+p.median())/2
	saved := min(without-with, p.most)
	on := float64(saved) > faster*float64(without)
	reason := fmt.Sprintf("a token took %.3g ms with it, %.3g ms without",
		milliseconds(with), milliseconds(without))
	if !on && without > with {
		reason += fmt.Sprintf(", of which it can have saved %.3g", milliseconds(p.most))
	}
	p.settle(on, "%s", reason)
}

// state is what results say of prefetching.
func (p *prefetchSwitch) state() string {
	state := "auto: off, too few tokens to tell"
	switch {
	case p.mode != PrefetchAuto:
		return p.mode.String()
	case p.reason != "" && p.on:
		state = "auto: on, " + p.reason
	case p.reason != "":
		state = "auto: off, " + p.reason
	}
	switch {
	case p.rest > 0:
		state += "; in prefill off"
	case p.made > 0:
		state += "; in prefill on"
	}
	if p.made > 0 {
		state += fmt.Sprintf(", %d of %d prefetches were used", p.used, p.made)
	}
	return state
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
