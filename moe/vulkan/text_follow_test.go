//go:build cgo && linux

package vulkan

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"ufm/moe"
	"ufm/pager"
)

// TestLikeliest finds the highest of few logits and of many, among equals and zeros of either
// sign, and the first that is not finite.
func TestLikeliest(t *testing.T) {
	l := newLab(t)
	p := l.pipeline("likeliest", pushLikeliest{}, likeliestThreads)
	const most = 20_000
	logits, _ := l.random(most)
	peaks, dst := l.buffer(peaksBytes), l.floats(1)
	clear(peaks.Bytes())
	find := func(vocab int) uint32 {
		t.Helper()
		l.dispatch(p, pushLikeliest{Logits: logits.Address(), Peaks: peaks.Address(),
			Dst: dst.Address(), Vocab: uint32(vocab)}, likeliestGroups, 1, 1)
		return dst.Words()[0]
	}
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	minusZero := float32(math.Copysign(0, -1))
	for _, c := range []struct {
		name  string
		vocab int
		set   map[int]float32
		want  uint32
	}{
		{"one", 1, nil, 0},
		{"the first", most, map[int]float32{0: 9}, 0},
		{"the last", most, map[int]float32{most - 1: 9}, most - 1},
		{"beyond the vocabulary", 5000, map[int]float32{5000: 9, 77: 8}, 77},
		{"equals", most, map[int]float32{17_000: 9, 16_999: 9, 300: 9, 4711: 9}, 300},
		{"zeros", 3, map[int]float32{0: -1, 1: minusZero, 2: 0}, 1},
		{"negative", 3, map[int]float32{0: -3, 1: -2, 2: -2.5}, 1},
		{"infinite", most, map[int]float32{12_345: inf, 15_000: nan}, likeliestOdd | 12_345},
		{"minus infinity", most, map[int]float32{19_999: -inf}, likeliestOdd | 19_999},
		{"not a number", most, map[int]float32{0: nan, 1: inf}, likeliestOdd},
	} {
		old := map[int]float32{}
		for i, v := range c.set {
			old[i], logits.Floats()[i] = logits.Floats()[i], v
		}
		if got := find(c.vocab); got != c.want {
			t.Errorf("%s: got %#x, want %#x", c.name, got, c.want)
		}
		for i, v := range old {
			logits.Floats()[i] = v
		}
	}
	for _, vocab := range []int{2, 63, 300, 9999, most} {
		if got, want := find(vocab), ranked(wide(logits.Floats()[:vocab]), 1)[0]; got != want {
			t.Errorf("%d logits: got %d, want %d", vocab, got, want)
		}
	}
}

func wide(v []float32) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

// followRun is what came of a sequence.
type followRun struct {
	ids    []int32
	groups []string
	bits   []uint32 // logits after its end
}

// TestFollow continues a prompt with the likeliest tokens, some by the router's choice and some by
// a given one, and gets the same ids, groups and, afterwards, logits as by Forward: where each
// token is begun before its time, where some are, and where what was begun is not what comes.
func TestFollow(t *testing.T) {
	skipSlow(t)
	b, m, bank := tinyText(t)
	alone, vocab := together(b), m.Config().Vocab
	routings := func(i int) []uint32 {
		if i%3 != 1 {
			return nil
		}
		return routed(m.Shape(), i)
	}
	const tokens = 10
	sequence := func(next func(r *textRunner, step int, id int32) int32) (run followRun) {
		r := newText(t, b, m, bank, moe.TextConfig{Context: 40, Run: moe.RunConfig{
			Mode: moe.Baseline, MaxTokens: 8, Poison: true, Observe: func(e *pager.Event) {
				run.groups = append(run.groups, fmt.Sprint(e.Step, e.Layer, e.Phase, e.Hits))
			}}}).(*textRunner)
		for range 2 { // the second time after a Reset
			logits := make([]float32, vocab)
			if _, err := r.Forward(t.Context(), &moe.TextBatch{IDs: []int32{3, 1, 4, 1, 5}, Logits: logits}); err != nil {
				t.Fatal(err)
			}
			id := int32(ranked(wide(logits), 1)[0])
			for step := range tokens {
				run.ids = append(run.ids, id)
				if step == 7 {
					id = 42 // not the likeliest
				}
				id = next(r, step, id)
			}
			c := capture(m, []int32{id})
			if _, err := r.Forward(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			run.bits = append(append(run.bits, floatBits(c.Logits)...), c.Experts...)
			if r.Position() != 5+tokens+1 {
				t.Errorf("at position %d, want %d", r.Position(), 5+tokens+1)
			}
			r.Reset()
		}
		return run
	}
	batch := func(step int, ids ...int32) *moe.TextBatch {
		return &moe.TextBatch{Step: 1 + step, Phase: pager.Decode, IDs: ids, Routing: routings(step)}
	}
	for _, n := range []int{apart, alone} {
		b.together = n
		want := sequence(func(r *textRunner, step int, id int32) int32 {
			c := batch(step, id)
			c.Logits = make([]float32, vocab)
			if _, err := r.Forward(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			return int32(ranked(wide(c.Logits), 1)[0])
		})
		for name, begins := range map[string]func(step int) bool{
			"each":  func(int) bool { return true }, // the last one in vain
			"none":  func(int) bool { return false },
			"some":  func(step int) bool { return step%4 != 2 },
			"a few": func(step int) bool { return step%4 == 2 },
		} {
			if n == apart && name != "each" {
				continue
			}
			var coming *moe.TextBatch
			got := sequence(func(r *textRunner, step int, id int32) int32 {
				own := coming
				if coming = nil; own == nil || step == 0 {
					own = batch(step, 0)
				}
				own.IDs[0] = id
				if begins(step) {
					coming = batch(step+1, 0)
				}
				id, times, err := r.Follow(t.Context(), own, coming)
				if err != nil {
					t.Fatal(err)
				}
				if times.Submits > 2 || times.Waits > 1 {
					t.Errorf("%d submits and %d waits for a token", times.Submits, times.Waits)
				}
				return id
			})
			if !slices.Equal(got.ids, want.ids) || !slices.Equal(got.groups, want.groups) {
				t.Errorf("%d, %s begun: got ids %v, want %v, or other groups", n, name, got.ids, want.ids)
			}
			if !slices.Equal(got.bits, want.bits) {
				t.Errorf("%d, %s begun: not the same bits afterwards", n, name)
			}
		}
	}
}

// TestFollowUnsupported: where not all experts are there, or more is asked for, nothing happens.
func TestFollowUnsupported(t *testing.T) {
	b, m, bank := tinyText(t)
	b.together = together(b)
	cfg := moe.TextConfig{Context: 8, Run: moe.RunConfig{Mode: moe.UFM, Slots: 20, MaxTokens: 8}}
	one := func() *moe.TextBatch { return &moe.TextBatch{IDs: []int32{1}, Phase: pager.Decode} }
	follow := func(slots int, batch, next *moe.TextBatch) error {
		cfg.Run.Slots = slots
		if slots == m.Shape().Paging().Universe() {
			cfg.Run.Mode = moe.Baseline
		}
		r := newText(t, b, m, bank, cfg).(*textRunner)
		_, _, err := r.Follow(t.Context(), batch, next)
		if err != nil && r.Position() != 0 {
			t.Error("the sequence has moved on")
		}
		return err
	}
	all := m.Shape().Paging().Universe()
	several := &moe.TextBatch{IDs: []int32{1, 2}}
	for name, err := range map[string]error{
		"paged": follow(20, one(), one()), "logits": follow(all, capture(m, []int32{1}), nil),
		"two tokens": follow(all, several, nil),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: got %v, want %v", name, err, errors.ErrUnsupported)
		}
	}
	if err := follow(all, one(), &moe.TextBatch{IDs: []int32{-1}}); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v for a next token that cannot be", err)
	}
	if err := follow(all, one(), one()); err != nil {
		t.Error(err)
	}
}
