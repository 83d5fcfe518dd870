package sim_test

import (
	"slices"
	"testing"

	"ufm/internal/trace"
	"ufm/pager"
)

// turns cuts a trace's decoded tokens into turns of a prompt and an answer. The last
// tail tokens of a prompt are a prefill step of their own.
func turns(tr *trace.Trace, prompt, tail, answer int) []pager.Group {
	var tokens []int // that were decoded; all, where a trace knows no steps
	first := 0
	for step, size := range tr.StepSizes {
		for token := first; token < first+int(size); token++ {
			if tr.Phases[step] == trace.Decode {
				tokens = append(tokens, token)
			}
		}
		first += int(size)
	}
	var groups []pager.Group
	step := 0
	add := func(tokens []int, phase pager.Phase) {
		for l := range tr.Layers {
			if g := groupOf(tr, tokens, l); len(g) > 0 {
				groups = append(groups, pager.Group{Step: step, Layer: l, Phase: phase, Experts: g})
			}
		}
		step++
	}
	for ; len(tokens) >= prompt+answer; tokens = tokens[prompt+answer:] {
		add(tokens[:prompt-tail], pager.Prefill)
		if tail > 0 {
			add(tokens[prompt-tail:prompt], pager.Prefill)
		}
		for i := range answer {
			add(tokens[prompt+i:][:1], pager.Decode)
		}
	}
	return groups
}

// groupOf is the distinct experts of some tokens in a layer.
func groupOf(tr *trace.Trace, tokens []int, layer int) []pager.ExpertID {
	var ids []pager.ExpertID
	for _, token := range tokens {
		for _, e := range tr.Row(token, layer) {
			if e >= 0 {
				ids = append(ids, pager.ExpertID(layer*tr.Experts+int(e)))
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// firstHits is the hit rate, in percent, of the first few decode steps after each
// prefill. Where prefills are not seen, the pool is left as the decode before left it.
func firstHits(t *testing.T, tr *trace.Trace, groups []pager.Group, slots int, seen bool) float64 {
	t.Helper()
	const few = 16
	shape := pager.Shape{Layers: tr.Layers, Experts: tr.Experts, TopK: tr.TopK}
	p, err := pager.New(pager.Options{Shape: shape, Slots: slots})
	if err != nil {
		t.Fatal(err)
	}
	hits, accesses, last := 0, 0, 0 // last: step of the last prefill
	for _, g := range groups {
		if g.Phase == pager.Prefill {
			last = g.Step
			if !seen {
				continue
			}
		}
		plan, err := p.Request(g)
		if err != nil {
			t.Fatal(err)
		}
		if g.Phase == pager.Decode && g.Step <= last+few {
			hits, accesses = hits+plan.Hits, accesses+len(g.Experts)
		}
	}
	return 100 * float64(hits) / float64(accesses)
}

// TestPrefillKeepsDecodeSet replays turns of a prompt and an answer. A prefill goes
// through most of each layer's experts; the first tokens decoded after it must hit as
// if it had not been there, and more often once its last tokens came by themselves.
func TestPrefillKeepsDecodeSet(t *testing.T) {
	for _, c := range []struct {
		name           string
		prompt, answer int
	}{
		{"models/tiny-qwen3-moe/reference/trace.safetensors", 192, 64},
		{"traces/qwen3-30b-a3b.route.csv", 64, 32},
		{"traces/gemma-4-26b-a4b.route.csv", 64, 32},
	} {
		tr := load(t, c.name)
		whole, warm := turns(tr, c.prompt, 0, c.answer), turns(tr, c.prompt, 4, c.answer)
		for _, percent := range []int{5, 10, 25, 50} {
			slots := tr.Layers * tr.Experts * percent / 100
			without := firstHits(t, tr, whole, slots, false)
			after := firstHits(t, tr, whole, slots, true)
			tail := firstHits(t, tr, warm, slots, true)
			t.Logf("%s, %d %%: %.1f without prefill, %.1f after it, %.1f with a tail of its own",
				c.name, percent, without, after, tail)
			if after < without-0.5 {
				t.Errorf("%s, %d %%: hits after prefill: got %.1f %%, want those without it, %.1f %%",
					c.name, percent, after, without)
			}
			if tail < after {
				t.Errorf("%s, %d %%: hits after a tail: got %.1f %%, want at least %.1f %%",
					c.name, percent, tail, after)
			}
		}
	}
}
