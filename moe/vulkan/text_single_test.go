//go:build cgo && linux

package vulkan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// TestRoute checks a route against float64: the residual stream and its norm, both choices
// with ties, weights of every kind, and the plan of the experts' products.
func TestRoute(t *testing.T) {
	skipSlow(t)
	l := newLab(t)
	const experts, topK, model, d, parts = 37, 5, 50, 56, 3
	const epsilon = 1e-6
	base, b := l.random(d)
	added, a := l.random(parts * d)
	norm, weight := l.random(d)
	gate, g := l.random(2 * experts * d)
	clear(norm.Floats()[model:])
	clear(weight[model:])
	for plane := range 2 { // expert 30 ties with expert 11
		copy(gate.Floats()[(plane*experts+30)*d:][:d], gate.Floats()[(plane*experts+11)*d:])
		copy(g[(plane*experts+30)*d:][:d], g[(plane*experts+11)*d:])
	}
	state, x, sum := make([]float64, d), make([]float64, d), 0.0
	for k := range d {
		state[k] = b[k]
		for p := range parts {
			state[k] += a[p*d+k]
		}
		sum += state[k] * state[k]
	}
	logits := make([]float64, 2*experts)
	for k := range d {
		x[k] = state[k] / math.Sqrt(sum/model+epsilon) * weight[k]
		for e := range logits {
			logits[e] += x[k] * g[e*d+k]
		}
	}
	slots := l.buffer(8 * experts)
	for e := range experts {
		binary.LittleEndian.PutUint64(slots.Bytes()[8*e:], uint64(1000+e))
	}
	p := l.pipeline("token", pushToken{}, 32, d/4, experts, topK, 4, 1, mostInputs/4)
	given := l.floats(topK)
	copy(given.Words(), []uint32{36, 0, 11, 4, 30})

	for _, c := range []struct {
		name      string
		flags     uint32
		normalize uint32
	}{
		{"router's choice", 0, 1},
		{"predicted", flagPredict, 1},
		{"not normalized, planned", flagPlanned, 0},
		{"deferred, predicted", flagPlanned | flagPredict | flagDeferred, 0},
		{"given", flagPlanned | flagGiven, 0},
		{"given, deferred", flagPlanned | flagPredict | flagGiven | flagDeferred, 0},
	} {
		outs := make([]*vk.Buffer, 9)
		for i, n := range []int{4 * d, 4 * d, 4 * topK, 4 * topK, 4 * topK, 4 * experts,
			tileBytes * topK, 4 * topK, 8 * experts} {
			outs[i] = l.buffer(n)
		}
		h, normed, ids, idWeights, weights, counts := outs[0], outs[1], outs[2], outs[3], outs[4], outs[5]
		tiles, predicted, scratch := outs[6], outs[7], outs[8]
		counter := l.floats(1)
		clear(counter.Words())
		route := l.op(p, opRoute{
			Kind: kindRoute, Gate: gate.Address(), Given: given.Address(), Slots: slots.Address(),
			Base: base.Address(), Added: added.Address(), Norm: norm.Address(), H: h.Address(),
			X: normed.Address(), Logits: scratch.Address(), Counter: counter.Address(),
			Weights: weights.Address(), Tiles: tiles.Address(), Counts: counts.Address(),
			IDs: ids.Address(), IDWeights: idWeights.Address(), Predicted: predicted.Address(),
			Parts: parts, Normalize: c.normalize, DModel: model, Epsilon: epsilon,
		}, pushToken{Flags: c.flags}, over(2*experts, routeEach))
		if c.flags&flagDeferred != 0 { // the experts decide
			l.op(p, opProduct{Tiles: tiles.Address(), Route: route, Parts: 1, Matrices: 1, Outputs: 8},
				pushToken{Flags: c.flags, Rows: topK}, 3)
		}

		l.near(c.name+": residual stream", h.Floats(), state)
		l.near(c.name+": norm", normed.Floats(), x)
		want := ranked(logits[:experts], topK)
		if c.flags&flagGiven != 0 {
			want = slices.Clone(given.Words()[:topK])
		}
		if got := ids.Words()[:topK]; !slices.Equal(got, want) {
			t.Fatalf("%s: ids: got %v, want %v", c.name, got, want)
		}
		l.near(c.name+": weights", idWeights.Floats(), softmaxOf(logits[:experts], want,
			c.normalize != 0 || c.flags&flagGiven != 0))
		if got, want := predicted.Words()[:topK], ranked(logits[experts:], topK); c.flags&flagPredict != 0 &&
			!slices.Equal(got, want) {
			t.Errorf("%s: predicted: got %v, want %v", c.name, got, want)
		}
		checkPlan(t, c.name, want, counts.Words()[:experts], tiles.Bytes(), c.flags&flagPlanned != 0)
		order := slices.Sorted(slices.Values(want))
		for k, e := range want {
			if got, want := weights.Words()[slices.Index(order, e)], idWeights.Words()[k]; got != want {
				t.Errorf("%s: weight of expert %d: got bits %x, want %x", c.name, e, got, want)
			}
		}
		if counter.Words()[0] != 0 {
			t.Errorf("%s: counter: got %d, want 0", c.name, counter.Words()[0])
		}
	}
}

// TestRouteOfNaN expects experts that exist, each once, whatever the logits are: a wrong id
// would be an address that is none.
func TestRouteOfNaN(t *testing.T) {
	skipSlow(t)
	b, m, bank := tinyText(t)
	r := newText(t, b, m, bank, moe.TextConfig{
		Run: moe.RunConfig{Mode: moe.Baseline, MaxTokens: 8}, Context: 8}).(*textRunner)
	x := r.text
	if err := x.runNow(t.Context(), func(c *vk.Commands) { // the norms
		c.Fill(x.dense.vectors, 0, x.dense.vectors.Size(), poisonWord)
		c.Barrier()
	}); err != nil {
		t.Fatal(err)
	}
	s := m.Shape()
	for range 2 {
		c := capture(m, []int32{1})
		if _, err := r.Forward(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for i, e := range c.Experts {
			token := c.Experts[i/s.TopK*s.TopK : i]
			if int(e) >= s.Experts || slices.Contains(token, e) {
				t.Fatalf("got experts %v", c.Experts)
			}
		}
	}
}

// together is how many workgroups a test lets run side by side: as many as a GPU does, and one on
// a CPU driver. Those end a kernel's loops after 65,535 rounds in all (llvmpipe), which kernels
// with instrumented addresses spend on looking those up: then ops stay apart.
func together(b *backend) int {
	switch {
	case b.device.Info().Kind != cpuKind:
		return 0
	case os.Getenv("UFM_VALIDATION") == "gpu":
		return apart
	}
	return 1
}

// TestTokenTogether gets the same bits of one dispatch of all ops as of an op a dispatch, resident
// and paged, and of layers alone. A CPU driver runs one workgroup at a time.
func TestTokenTogether(t *testing.T) {
	skipSlow(t)
	b, m, bank := tinyText(t)
	prompt := []int32{3, 1, 4, 1, 5}
	together := together(b)
	var want []uint32
	for _, n := range []int{apart, together} {
		for _, slots := range []int{m.Shape().Paging().Universe(), 9} {
			b.together = n
			r := newText(t, b, m, bank, moe.TextConfig{
				Run:     moe.RunConfig{Mode: moe.UFM, Slots: slots, MaxTokens: 8, Poison: true},
				Context: 80, Prefetch: slots == 9})
			var got []uint32
			for i := range 24 {
				c := capture(m, prompt[i%5:][:1])
				if _, err := r.Forward(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				got = append(append(got, c.Experts...), floatBits(append(c.Logits, c.Weights...))...)
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d workgroups, %d slots: not the same bits", n, slots)
			}
		}
	}
}

// TestTokenOnward lets the device go from layer to layer by itself where all experts are
// there: with the same bits, and the same decisions of the pager, as where the host asks for
// each layer. Some tokens prefetch, some are routed, some want no logits.
func TestTokenOnward(t *testing.T) {
	skipSlow(t)
	b, m, bank := tinyText(t)
	alone, universe := together(b), m.Shape().Paging().Universe()
	for _, slots := range []int{9, universe - 1} {
		b.together = apart
		want := runTokens(t, b, m, bank, slots)
		b.together = alone
		got := runTokens(t, b, m, bank, slots)
		if !slices.Equal(got.bits, want.bits) {
			t.Errorf("%d slots: not the same bits", slots)
		}
		if !slices.Equal(got.events, want.events) {
			t.Errorf("%d slots: not the same groups, hits, misses and prefetches", slots)
		}
		t.Logf("%d slots: %d waits, with the host asked for each layer %d", slots, got.waits, want.waits)
		if slots == universe-1 && got.waits > want.waits/2 {
			t.Error("the host is asked for too many layers")
		}
	}
}

// tokenRun is what came of some tokens.
type tokenRun struct {
	bits   []uint32
	events []string
	waits  int // of tokens that do not prefetch, in a pool that is full
}

func runTokens(t *testing.T, b *backend, m moe.TextModel, bank moe.Bank, slots int) (run tokenRun) {
	t.Helper()
	r := newText(t, b, m, bank, moe.TextConfig{Context: 80, Prefetch: true, Run: moe.RunConfig{
		Mode: moe.UFM, Slots: slots, MaxTokens: 8, Poison: true,
		Observe: func(e *pager.Event) {
			run.events = append(run.events,
				fmt.Sprint(e.Step, e.Layer, e.Phase, e.Hits, e.Misses, e.Prefetches))
		},
	}})
	const steps = 32
	for step := range steps {
		c := capture(m, []int32{int32(7*step) % 64})
		if step%10 == 0 { // several tokens move experts, too
			c = capture(m, []int32{1, 2, 3, 5})
		}
		c.Step, c.Phase, c.NoPrefetch = step, pager.Decode, step%4 != 1
		if step%7 == 3 {
			c.Logits = nil
		}
		if step%6 == 5 {
			c.Routing = routed(m.Shape(), step)
		}
		times, err := r.Forward(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if c.NoPrefetch && len(c.IDs) == 1 && step >= steps/2 {
			run.waits += times.Waits
		}
		run.bits = append(append(run.bits, c.Experts...), floatBits(append(c.Logits, c.Weights...))...)
	}
	return run
}

// routed is a choice of experts for one token.
func routed(s moe.Shape, seed int) (ids []uint32) {
	for l := range s.Layers {
		for k := range s.TopK {
			ids = append(ids, uint32((7*l+5*k+3*seed)%s.Experts))
		}
	}
	return ids
}

// TestTokenApart expects an error where workgroups did not meet, and others than before after it.
func TestTokenApart(t *testing.T) {
	b, m, bank := tinyText(t)
	b.together = together(b)
	r := newText(t, b, m, bank, moe.TextConfig{
		Run: moe.RunConfig{Mode: moe.Baseline, MaxTokens: 8}, Context: 8}).(*textRunner)
	r.memory.report.Words()[reportLost] = 1
	if _, err := r.Forward(t.Context(), capture(m, []int32{1})); !errors.Is(err, errApart) {
		t.Errorf("got %v, want %v", err, errApart)
	}
}

// TestTokenWithoutItsKernel decodes as devices do whose shared memory does not suffice for it.
func TestTokenWithoutItsKernel(t *testing.T) {
	skipSlow(t)
	b, m, bank := tinyText(t)
	b.together = together(b)
	cfg := moe.TextConfig{Run: moe.RunConfig{Mode: moe.Baseline, MaxTokens: 8}, Context: 8}
	with, without := newText(t, b, m, bank, cfg), newText(t, b, m, bank, cfg)
	without.(*textRunner).token.pipeline = nil
	for i := range 5 {
		want, got := capture(m, []int32{int32(7 * i)}), capture(m, []int32{int32(7 * i)})
		for r, c := range map[moe.TextRunner]*moe.TextBatch{with: want, without: got} {
			if _, err := r.Forward(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if d := moe.Compare(got.Logits, wide(want.Logits), len(want.Logits)); !(d.NMSE <= 1e-10) {
			t.Errorf("token %d: NMSE %g, want at most 1e-10", i, d.NMSE)
		}
		if !slices.Equal(got.Experts, want.Experts) {
			t.Errorf("token %d: other experts", i)
		}
	}
}

func floatBits(v []float32) []uint32 {
	bits := make([]uint32, len(v))
	for i, f := range v {
		bits[i] = math.Float32bits(f)
	}
	return bits
}

// ranked are the indexes of the n largest values, in falling order, ties to the lower.
func ranked(v []float64, n int) []uint32 {
	ids := make([]uint32, len(v))
	for i := range ids {
		ids[i] = uint32(i)
	}
	slices.SortStableFunc(ids, func(i, j uint32) int {
		switch {
		case v[i] > v[j]:
			return -1
		case v[i] < v[j]:
			return 1
		}
		return 0
	})
	return ids[:n]
}

// softmaxOf is the softmax of some logits, over themselves or over all.
func softmaxOf(logits []float64, ids []uint32, alone bool) []float64 {
	sum := 0.0
	w := make([]float64, len(ids))
	for i, e := range ids {
		w[i] = math.Exp(logits[e])
		if alone {
			sum += w[i]
		}
	}
	if !alone {
		for _, v := range logits {
			sum += math.Exp(v)
		}
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}

// checkPlan checks counts and tiles of a token's experts.
func checkPlan(t *testing.T, name string, ids, counts []uint32, tiles []byte, planned bool) {
	t.Helper()
	for e, n := range counts {
		if want := slices.Contains(ids, uint32(e)); want != (n == 1) || n > 1 {
			t.Errorf("%s: expert %d: got %d rows, chosen: %v", name, e, n, want)
		}
	}
	for row, e := range slices.Sorted(slices.Values(ids)) {
		if !planned {
			break
		}
		tile := tiles[row*tileBytes:]
		got := fmt.Sprint(binary.LittleEndian.Uint64(tile), binary.LittleEndian.Uint32(tile[8:]),
			binary.LittleEndian.Uint32(tile[12:]))
		if want := fmt.Sprint(1000+e, row, 1); got != want {
			t.Errorf("%s: tile %d: got %s, want %s", name, row, got, want)
		}
	}
}
