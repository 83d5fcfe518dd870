//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
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
	const odd = 1 << 31 // as in likeliest.comp
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
		{"infinite", most, map[int]float32{12_345: inf, 15_000: nan}, odd | 12_345},
		{"minus infinity", most, map[int]float32{19_999: -inf}, odd | 19_999},
		{"not a number", most, map[int]float32{0: nan, 1: inf}, odd},
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
				if times.Submits > 1 || times.Waits > 1 {
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

// TestFollowOthers gives a runner other tokens than it was promised: of the same id, with another
// routing; after a Reset. What was begun is waited for, and leaves nothing behind.
func TestFollowOthers(t *testing.T) {
	skipSlow(t)
	b, m, bank := tinyText(t)
	b.together = together(b)
	var groups []string
	open := func() *textRunner {
		return newText(t, b, m, bank, moe.TextConfig{Context: 4, Run: moe.RunConfig{
			Mode: moe.Baseline, MaxTokens: 1, Poison: true, Observe: func(e *pager.Event) {
				groups = append(groups, fmt.Sprint(e.Layer, e.Hits))
			}}}).(*textRunner)
	}
	one := func(id int32, routing []uint32) *moe.TextBatch {
		return &moe.TextBatch{IDs: []int32{id}, Phase: pager.Decode, Routing: routing}
	}
	follow := func(r *textRunner, b, next *moe.TextBatch) int32 {
		t.Helper()
		groups = groups[:0]
		id, _, err := r.Follow(t.Context(), b, next)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	plain := open()
	first := follow(plain, one(7, nil), nil)
	follow(plain, one(first, nil), nil)
	want := slices.Clone(groups)

	r := open()
	promised := one(0, routed(m.Shape(), 3))
	promised.IDs[0] = follow(r, one(7, nil), promised)
	if follow(r, one(first, nil), nil); !slices.Equal(groups, want) {
		t.Errorf("got the groups %v of the routing that was promised, want %v", groups, want)
	}
	r.Reset()
	promised = one(0, nil)
	promised.IDs[0] = follow(r, one(7, nil), promised)
	follow(r, promised, one(0, nil))
	begun := r.text.next.value
	if err := r.text.forget(); err != nil {
		t.Error(err)
	}
	// A CPU driver has done all when a submission returns.
	if reached, err := r.compute.timeline.Value(); err != nil || reached < begun {
		t.Errorf("%d of the begun token's %d has been reached: %v", reached, begun, err)
	}

	r.Reset()
	promised = one(0, nil)
	promised.IDs[0] = follow(r, one(7, nil), promised)
	r.Reset()
	if got := follow(r, one(7, nil), nil); got != first {
		t.Errorf("got %d after a Reset, want %d", got, first)
	}
	promised = one(0, nil)
	r.Reset()
	promised.IDs[0] = follow(r, one(7, nil), promised)
	r.Reset() // to another position than it was begun for
	plain.Reset()
	follow(plain, one(first, nil), nil)
	want = slices.Clone(groups)
	if follow(r, promised, nil); !slices.Equal(groups, want) {
		t.Errorf("got the groups %v of a batch that was begun elsewhere, want %v", groups, want)
	}

	r.Reset()
	for range 3 {
		follow(r, one(7, nil), nil)
	}
	end := one(7, nil)
	if _, _, err := r.Follow(t.Context(), end, one(0, nil)); err == nil || r.Position() != 3 {
		t.Errorf("got %v for a token beyond the context, at position %d", err, r.Position())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Follow(ctx, end, nil); !errors.Is(err, context.Canceled) || r.Position() != 3 {
		t.Errorf("got %v of a context that has ended, at position %d", err, r.Position())
	}
	follow(r, end, nil)
}

// TestFollowOnceFull follows as soon as a pool that holds all experts has had them all.
func TestFollowOnceFull(t *testing.T) {
	skipSlow(t)
	b, m, bank := tinyText(t)
	b.together = together(b)
	s := m.Shape()
	full := newText(t, b, m, bank, moe.TextConfig{Context: 40, Run: moe.RunConfig{
		Mode: moe.Baseline, MaxTokens: 1}}).(*textRunner)
	r := newText(t, b, m, bank, moe.TextConfig{Context: 40, Prefetch: true, Run: moe.RunConfig{
		Mode: moe.UFM, Slots: s.Paging().Universe(), MaxTokens: 1, Poison: true}}).(*textRunner)
	all := s.Experts / s.TopK
	followed := 0
	id := int32(5)
	for i := range all + 4 {
		var routing []uint32
		for range s.Layers {
			for k := range s.TopK {
				routing = append(routing, uint32((i*s.TopK+k)%s.Experts))
			}
		}
		one := func() *moe.TextBatch {
			return &moe.TextBatch{IDs: []int32{id}, Phase: pager.Decode, Routing: routing}
		}
		want, _, err := full.Follow(t.Context(), one(), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := r.Follow(t.Context(), one(), nil)
		switch {
		case errors.Is(err, errors.ErrUnsupported) && i < all:
			c := one()
			c.Logits = make([]float32, m.Config().Vocab)
			if _, err := r.Forward(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			got = int32(ranked(wide(c.Logits), 1)[0])
		case err != nil:
			t.Fatalf("token %d: %v", i, err)
		default:
			followed++
		}
		if got != want {
			t.Errorf("token %d: got %d, want %d", i, got, want)
		}
		id = want
	}
	if followed != 4 {
		t.Errorf("%d tokens followed, want the 4 after all experts were there", followed)
	}
}

// TestFollowNotFinite tells of a logit that is no number, and of which token, and goes on.
func TestFollowNotFinite(t *testing.T) {
	skipSlow(t)
	b, m, bank := tinyText(t)
	b.together = together(b)
	r := newText(t, b, m, bank, moe.TextConfig{Context: 8, Run: moe.RunConfig{
		Mode: moe.Baseline, MaxTokens: 1}}).(*textRunner)
	nan := make([]float32, m.Config().DModel)
	for i := range nan {
		nan[i] = float32(math.NaN())
	}
	staging := &lab{t: t, backend: b}
	values := staging.floats(len(nan))
	copy(values.Floats(), nan)
	norm := r.text.vectorAt(moe.AttentionNorm, m.Config().Layers) - r.text.dense.vectors.Address()
	if err := r.runNow(t.Context(), func(c *vk.Commands) {
		c.Copy(r.text.dense.vectors, int64(norm), values, 0, int64(4*len(nan)))
		c.Barrier()
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b := &moe.TextBatch{IDs: []int32{1}, Phase: pager.Decode}
		next := &moe.TextBatch{IDs: []int32{0}, Phase: pager.Decode}
		if id, _, err := r.Follow(t.Context(), b, next); err != nil || id != -1 {
			t.Errorf("got %d, %v, want -1 for token 0", id, err)
		}
	}
	if r.Position() != 2 {
		t.Errorf("at position %d, want 2", r.Position())
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
