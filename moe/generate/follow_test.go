package generate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"ufm/moe"
	"ufm/pager"
)

// following is a backend whose runners find the likeliest token, as some devices do.
type following struct {
	moe.TextBackend
	runner *follower
}

func (f *following) NewTextRunner(c moe.TextConfig, m moe.TextModel) (moe.TextRunner, error) {
	r, err := f.TextBackend.NewTextRunner(c, m)
	f.runner = &follower{TextRunner: r, vocab: m.Config().Vocab}
	return f.runner, err
}

// follower keeps account of what was promised to it.
type follower struct {
	moe.TextRunner
	vocab   int
	next    *moe.TextBatch
	kept    int // promises
	broken  int
	refused int // calls, before it follows at all
}

func (f *follower) Follow(ctx context.Context, b, next *moe.TextBatch) (int32, moe.StepTimes, error) {
	if f.refused > 0 {
		f.refused--
		return 0, moe.StepTimes{}, errors.ErrUnsupported
	}
	if f.next != nil && f.next != b {
		f.broken++
	} else if f.next != nil {
		f.kept++
	}
	f.next = next
	own := *b
	own.Logits = make([]float32, f.vocab)
	times, err := f.Forward(ctx, &own)
	if err != nil {
		return 0, times, err
	}
	id, err := likeliest(own.Logits)
	return id, times, err
}

// TestFollowing gets the recorded texts of a runner that finds the likeliest token itself, also
// where it does so only after a while. It is promised a next token if and only if there may be one.
func TestFollowing(t *testing.T) {
	want, cpu := recorded(t), moe.NewCPU(moe.CPUOptions{}).(moe.TextBackend)
	b := &following{TextBackend: cpu}
	m, text, bank := openTiny(t, b)
	for _, refused := range []int{0, 3} {
		s := newSession(t, b, m, bank, Options{Context: 80, Slots: 256})
		b.runner.refused = refused
		alone := refused + 1 // tokens of the session before the first that is promised
		for _, g := range want.Greedy {
			b.runner.kept = 0
			n := len(g.OutputIDs)
			r, err := s.Generate(t.Context(), Request{Prompt: g.PromptIDs, MaxTokens: n, Text: text}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(r.OutputIDs, g.OutputIDs) {
				t.Errorf("got ids %v, want %v", r.OutputIDs, g.OutputIDs)
			}
			if f := b.runner; f.kept != n-2-alone || f.broken > 0 || f.next != nil {
				t.Errorf("%d tokens of %d were promised, %d promises broken, one is open: %v",
					f.kept, n, f.broken, f.next != nil)
			}
			alone = 0
		}
	}
}

// TestFollowingEnds: an answer that ends before its time leaves a token that was begun in vain,
// and of which the next answer knows nothing, not even by the routing that it would have had.
func TestFollowingEnds(t *testing.T) {
	want, cpu := recorded(t), moe.NewCPU(moe.CPUOptions{}).(moe.TextBackend)
	b := &following{TextBackend: cpu}
	m, _, bank := openTiny(t, b)
	prompt := want.Greedy[0].PromptIDs
	type outcome struct {
		ids    [][]int32
		groups []string
	}
	answers := func(backend moe.TextBackend) (o outcome) {
		routing, err := moe.ParseRouting("uniform", m.Shape(), 7, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := newSession(t, backend, m, bank, Options{Context: 80, Slots: 256, Routing: routing, Prefetch: PrefetchOff,
			Observe: func(e *pager.Event) {
				o.groups = append(o.groups, fmt.Sprint(e.Step, e.Layer, e.Hits, e.Misses))
			}})
		var end []int32
		for range 3 {
			r, err := s.Generate(t.Context(), Request{Prompt: prompt, MaxTokens: 9, EndOfText: end}, nil)
			if err != nil {
				t.Fatal(err)
			}
			o.ids = append(o.ids, r.OutputIDs)
			end = o.ids[0][1:] // one of these comes again
		}
		return o
	}
	plain, followed := answers(cpu), answers(b)
	if !reflect.DeepEqual(plain, followed) {
		t.Errorf("got %v, without following %v, or other groups", followed.ids, plain.ids)
	}
	if n := len(plain.ids[1]); n >= 9 || b.runner.broken == 0 || b.runner.next == nil {
		t.Errorf("an answer of %d tokens has not ended early, or broke no promise", n)
	}
}
