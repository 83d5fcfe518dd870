//go:build cgo && linux

package vulkan

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"ufm/moe"
	"ufm/vk"
)

// TestRoute checks route.comp against float64: the residual stream and its norm, both
// choices with ties, weights of every kind, and the plan of the experts' products.
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
	p := l.pipeline("route", pushRoute{}, 32, d/4, experts, topK)
	given := l.floats(topK)
	copy(given.Words(), []uint32{36, 0, 11, 4, 30})

	for _, c := range []struct {
		name string
		push pushRoute
	}{
		{"router's choice", pushRoute{Planes: 1, Normalize: 1}},
		{"not normalized, planned, predicted", pushRoute{Planes: 2, Planned: 1}},
		{"given", pushRoute{Planes: 2, Planned: 1, Given: given.Address()}},
	} {
		outs := make([]*vk.Buffer, 9) // h, x, gathered, ids, weights, counts, position, tiles, predicted
		for i, n := range []int{4 * d, 4 * d, 16 * topK * d, 4 * topK, 4 * topK, 4 * experts,
			4 * topK, tileBytes * topK, 4 * topK} {
			outs[i] = l.buffer(n)
		}
		h, normed, gathered, ids, weights := outs[0], outs[1], outs[2], outs[3], outs[4]
		counts, position, tiles, predicted := outs[5], outs[6], outs[7], outs[8]
		scratch, counter := l.floats(2*experts), l.floats(1)
		clear(counter.Words())
		route := l.buffer(routeBytes)
		var table []byte
		for _, buffer := range []*vk.Buffer{base, added, norm, gate, h, normed, gathered, scratch,
			counter, ids, weights, counts, position, tiles, slots, predicted} {
			table = binary.LittleEndian.AppendUint64(table, buffer.Address())
		}
		copy(route.Bytes(), table)
		c.push.Route, c.push.Parts, c.push.DModel, c.push.Epsilon = route.Address(), parts, model, epsilon
		l.dispatch(p, c.push, over(int(c.push.Planes)*experts, routeExperts), 1, 1)

		l.near(c.name+": residual stream", h.Floats(), state)
		l.near(c.name+": norm", normed.Floats(), x)
		rows := make([]float64, topK*d*4)
		for i := range topK * d {
			rows[4*i] = x[i%d]
		}
		l.near(c.name+": gathered", gathered.Floats(), rows)
		want := ranked(logits[:experts], topK)
		if c.push.Given != 0 {
			want = slices.Clone(given.Words()[:topK])
		}
		if got := ids.Words()[:topK]; !slices.Equal(got, want) {
			t.Fatalf("%s: ids: got %v, want %v", c.name, got, want)
		}
		l.near(c.name+": weights", weights.Floats(), softmaxOf(logits[:experts], want,
			c.push.Normalize != 0 || c.push.Given != 0))
		if got, want := predicted.Words()[:topK], ranked(logits[experts:], topK); c.push.Planes == 2 &&
			!slices.Equal(got, want) {
			t.Errorf("%s: predicted: got %v, want %v", c.name, got, want)
		}
		checkPlan(t, c.name, want, counts.Words()[:experts], position.Words(), tiles.Bytes(), c.push.Planned != 0)
		if counter.Words()[0] != 0 {
			t.Errorf("%s: counter: got %d, want 0", c.name, counter.Words()[0])
		}
	}
}

// TestRouteOfNaN expects experts that exist, each once, whatever the logits are: a wrong id
// would be an address that is none.
func TestRouteOfNaN(t *testing.T) {
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

// checkPlan checks counts, rows and tiles of a token's experts.
func checkPlan(t *testing.T, name string, ids, counts, position []uint32, tiles []byte, planned bool) {
	t.Helper()
	order := slices.Sorted(slices.Values(ids))
	for e, n := range counts {
		if want := slices.Contains(ids, uint32(e)); want != (n == 1) || n > 1 {
			t.Errorf("%s: expert %d: got %d rows, chosen: %v", name, e, n, want)
		}
	}
	for k, e := range ids {
		quad := uint32(slices.Index(order, e))
		if position[k] != 4*quad {
			t.Errorf("%s: row of choice %d: got %d, want %d", name, k, position[k], 4*quad)
		}
		if !planned {
			continue
		}
		tile := tiles[quad*tileBytes:]
		got := fmt.Sprint(binary.LittleEndian.Uint64(tile), binary.LittleEndian.Uint32(tile[8:]),
			binary.LittleEndian.Uint32(tile[12:]))
		if want := fmt.Sprint(1000+e, quad, 1); got != want {
			t.Errorf("%s: tile %d: got %s, want %s", name, quad, got, want)
		}
	}
}
