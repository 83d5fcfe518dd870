package moe

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func mustParseRouting(t *testing.T, spec string, s Shape, seed uint64, tr *RoutingTrace) *Routing {
	t.Helper()
	r, err := ParseRouting(spec, s, seed, func(string) (*RoutingTrace, error) { return tr, nil })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustFill(t *testing.T, r *Routing, step, tokens int) []uint32 {
	t.Helper()
	ids := make([]uint32, r.shape.Layers*tokens*r.shape.TopK)
	if err := r.Fill(step, tokens, ids); err != nil {
		t.Fatal(err)
	}
	return ids
}

var routingShape = Shape{Layers: 3, Experts: 16, DModel: 1, DHidden: 1, TopK: 4}

// TestRoutingProperties holds for every generator: ids in range and distinct, and a
// step is a function of the seed and its number, in whatever order steps are asked for.
func TestRoutingProperties(t *testing.T) {
	shapes := []Shape{
		routingShape,
		{Layers: 1, Experts: 1, DModel: 1, DHidden: 1, TopK: 1},
		{Layers: 2, Experts: 5, DModel: 1, DHidden: 1, TopK: 5},
	}
	specs := []string{"uniform", "zipf:0.5", "zipf:1.2", "zipf:10", "sticky:0", "sticky:0.7", "sticky:1"}
	for _, spec := range specs {
		for _, s := range shapes {
			inOrder := mustParseRouting(t, spec, s, 7, nil)
			for step := range 9 {
				ids := mustFill(t, inOrder, step, 40)
				if err := checkRouting(s, ids, len(ids)); err != nil {
					t.Fatalf("%s: step %d: %v", spec, step, err)
				}
				alone := mustFill(t, mustParseRouting(t, spec, s, 7, nil), step, 40)
				if !slices.Equal(ids, alone) {
					t.Fatalf("%s: step %d: depends on the steps before", spec, step)
				}
				if step > 3 {
					mustFill(t, inOrder, step-3, 40) // must not disturb what follows
				}
			}
			if s.TopK == s.Experts {
				continue
			}
			a := mustFill(t, mustParseRouting(t, spec, s, 7, nil), 0, 40)
			if b := mustFill(t, mustParseRouting(t, spec, s, 8, nil), 0, 40); slices.Equal(a, b) {
				t.Errorf("%s: seeds 7 and 8 give the same step", spec)
			}
			if b := mustFill(t, mustParseRouting(t, spec, s, 7, nil), 40, 40); slices.Equal(a, b) {
				t.Errorf("%s: steps 0 and 40 are the same", spec)
			}
			if n := len(a) / s.Layers; slices.Equal(a[:n], a[n:2*n]) {
				t.Errorf("%s: layers 0 and 1 are the same", spec)
			}
		}
	}
}

// counts returns how often each expert of a layer was drawn.
func counts(t *testing.T, r *Routing, layer, steps, tokens int) []float64 {
	t.Helper()
	n := make([]float64, r.shape.Experts)
	for step := range steps {
		for _, e := range r.layerIDs(mustFill(t, r, step, tokens), layer) {
			n[e]++
		}
	}
	return n
}

func TestUniformRouting(t *testing.T) {
	for _, topK := range []int{1, 4, 12} { // 12 takes both ways of drawing
		s := routingShape
		s.TopK = topK
		for e, n := range counts(t, mustParseRouting(t, "uniform", s, 1, nil), 1, 20, 200) {
			want := float64(4000*topK) / 16
			if math.Abs(n-want) > 5*math.Sqrt(want) {
				t.Errorf("top-%d: expert %d: got %g draws, want about %g", topK, e, n, want)
			}
		}
	}
}

// TestZipfRouting compares the first draw of each token with the weights, and checks
// that the order of experts is a layer's own and lasts.
func TestZipfRouting(t *testing.T) {
	s := routingShape
	s.TopK = 1
	var orders [2][]int
	for layer := range orders {
		n := counts(t, mustParseRouting(t, "zipf:1.5", s, 1, nil), layer, 20, 500)
		order := make([]int, len(n))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return int(n[b] - n[a]) })
		orders[layer] = order
		sum := 0.0
		for rank := range n {
			sum += math.Pow(float64(rank+1), -1.5)
		}
		for rank := range 4 {
			want := 10000 * math.Pow(float64(rank+1), -1.5) / sum
			if got := n[order[rank]]; math.Abs(got-want) > 5*math.Sqrt(want) {
				t.Errorf("layer %d, rank %d: got %g draws, want about %g", layer, rank, got, want)
			}
		}
	}
	if slices.Equal(orders[0][:4], orders[1][:4]) {
		t.Errorf("both layers prefer experts %v", orders[0][:4])
	}
}

// TestZipfSecondDraw checks drawing without replacement: given that rank 0 came
// first, rank 1 follows with its share of what is left, also where that is tiny.
func TestZipfSecondDraw(t *testing.T) {
	for _, exponent := range []string{"1", "6"} {
		s := routingShape
		s.TopK = 2
		r := mustParseRouting(t, "zipf:"+exponent, s, 1, nil)
		first, second := r.zipf.expert[0][0], r.zipf.expert[0][1]
		rest := 0.0
		for _, w := range r.zipf.weights[1:] {
			rest += w
		}
		share := r.zipf.weights[1] / rest
		var n, hits float64
		ids := r.layerIDs(mustFill(t, r, 0, 20000), 0)
		for i := 0; i < len(ids); i += 2 {
			if ids[i] == first {
				n++
				if ids[i+1] == second {
					hits++
				}
			}
		}
		if got := hits / n; math.Abs(got-share) > 5*math.Sqrt(share*(1-share)/n) {
			t.Errorf("zipf:%s: second draw is rank 1 in %g of cases, want %g", exponent, got, share)
		}
	}
}

// TestStickyRouting measures how many experts a token shares with the one before,
// within a step and over decode steps of one token.
func TestStickyRouting(t *testing.T) {
	s := Shape{Layers: 2, Experts: 64, DModel: 1, DHidden: 1, TopK: 4}
	for _, tokens := range []int{1, 100} {
		for _, keep := range []string{"0", "0.5", "1"} {
			p := map[string]float64{"0": 0, "0.5": 0.5, "1": 1}[keep]
			r := mustParseRouting(t, "sticky:"+keep, s, 1, nil)
			var previous []uint32
			var kept, n float64
			for step := range 2000 / tokens {
				ids := r.layerIDs(mustFill(t, r, step, tokens), 1)
				for token := range slices.Chunk(ids, 4) {
					for _, e := range previous {
						n++
						if slices.Contains(token, e) {
							kept++
						}
					}
					previous = slices.Clone(token)
				}
			}
			// What is not kept may be drawn again by chance, and chains start anew.
			want := p + (1-p)*(1-p)*4/62
			if got := kept / n; math.Abs(got-want) > 0.03 {
				t.Errorf("sticky:%s, %d tokens: kept %g, want %g", keep, tokens, got, want)
			}
		}
	}
}

func TestTraceRouting(t *testing.T) {
	s := Shape{Layers: 2, Experts: 4, DModel: 1, DHidden: 1, TopK: 1}
	tr := &RoutingTrace{Layers: 3, Experts: 4, TopK: 1, IDs: []int16{
		0, 1, 0,
		2, -1, 0, // not routed in layer 1: left out
		3, 2, -1, // layer 2 is not the model's
		1, 1, 1,
	}}
	r := mustParseRouting(t, "trace:x", s, 1, tr)
	for step, want := range [][]uint32{{0, 3, 1, 2}, {1, 0, 1, 1}, {3, 1, 2, 1}} {
		if got := mustFill(t, r, step, 2); !slices.Equal(got, want) {
			t.Errorf("step %d: got %v, want %v", step, got, want)
		}
	}
}

func TestRoutingErrors(t *testing.T) {
	missing := errors.New("no such trace")
	for _, c := range []struct {
		spec  string
		trace *RoutingTrace
		want  string
	}{
		{"", nil, `routing "": unknown`},
		{"zipfian:1", nil, "zipf:S"},
		{"uniform:3", nil, "unknown"},
		{"zipf", nil, `exponent "" is no number`},
		{"zipf:0", nil, "exponent is 0"},
		{"zipf:-1", nil, "outside 0..10"},
		{"zipf:10.5", nil, "outside 0..10"},
		{"zipf:NaN", nil, "outside 0..10"},
		{"zipf:inf", nil, "outside 0..10"},
		{"sticky:1.1", nil, "outside 0..1"},
		{"sticky:a", nil, `chance "a" is no number`},
		{"trace:", nil, "names no file"},
		{"trace:gone", nil, "no such trace"},
		{"trace:x", &RoutingTrace{Layers: 3, Experts: 8, TopK: 4}, "does not fit"},
		{"trace:x", &RoutingTrace{Layers: 2, Experts: 16, TopK: 4}, "does not fit"},
		{"trace:x", &RoutingTrace{Layers: 3, Experts: 16, TopK: 4}, "no token"},
		{"trace:x", &RoutingTrace{Layers: 3, Experts: 16, TopK: 4, IDs: make([]int16, 13)}, "no multiple"},
		{"trace:x", &RoutingTrace{Layers: 3, Experts: 16, TopK: 4,
			IDs: []int16{0, 1, 2, 3, 0, 1, 2, 16, 0, 1, 2, 3}}, "token 0, layer 1: expert 16"},
	} {
		_, err := ParseRouting(c.spec, routingShape, 1, func(string) (*RoutingTrace, error) {
			if c.trace == nil {
				return nil, missing
			}
			return c.trace, nil
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got error %v, want one with %q", c.spec, err, c.want)
		}
	}
	r := mustParseRouting(t, "uniform", routingShape, 1, nil)
	if r.Fill(0, 2, make([]uint32, 23)) == nil {
		t.Error("fill of 23 ids for 24: no error")
	}
}
