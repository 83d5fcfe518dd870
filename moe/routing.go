package moe

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// RoutingForms says what a routing spec may look like.
const RoutingForms = "uniform, zipf:S with 0 < S <= 10, sticky:P with 0 <= P <= 1, trace:FILE"

// RoutingTrace is a recorded routing, as a trace file holds it.
type RoutingTrace struct {
	Layers, Experts, TopK int
	IDs                   []int16 // (tokens, layers, top_k) within the layer; -1: not routed
}

// Routing generates the experts that tokens are sent to, in place of a router's
// choice. What Fill gives for a step follows from spec, shape, seed and the number
// of tokens alone, in whatever order steps are asked for.
type Routing struct {
	spec  string
	shape Shape
	seed  uint64
	fill  func(r *Routing, step, tokens int, dst []uint32) error

	zipf   *zipf
	keep   float64 // sticky: chance that an expert of the previous token stays
	last   stickyState
	trace  *RoutingTrace
	usable []int // rows of trace that are routed in every layer
}

// ParseRouting makes the routing that spec names for models of shape s. load opens
// the file of a trace spec; it is not called for others.
func ParseRouting(spec string, s Shape, seed uint64,
	load func(path string) (*RoutingTrace, error)) (*Routing, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	r := &Routing{spec: spec, shape: s, seed: seed}
	kind, arg, _ := strings.Cut(spec, ":")
	switch {
	case spec == "uniform":
		r.fill = (*Routing).fillUniform
	case kind == "zipf":
		exponent, err := r.parameter(arg, "zipf exponent", 0, 10)
		if err != nil {
			return nil, err
		}
		if exponent == 0 {
			return nil, r.wrong("zipf exponent is 0")
		}
		r.zipf = newZipf(s, seed, exponent)
		r.fill = (*Routing).fillZipf
	case kind == "sticky":
		keep, err := r.parameter(arg, "sticky chance", 0, 1)
		if err != nil {
			return nil, err
		}
		r.keep = keep
		r.fill = (*Routing).fillSticky
	case kind == "trace":
		if arg == "" {
			return nil, r.wrong("trace names no file")
		}
		t, err := load(arg)
		if err != nil {
			return nil, fmt.Errorf("moe: routing %q: %w", spec, err)
		}
		if err := r.setTrace(t); err != nil {
			return nil, err
		}
		r.fill = (*Routing).fillTrace
	default:
		return nil, r.wrong("unknown")
	}
	return r, nil
}

// String is the spec that the routing was made from.
func (r *Routing) String() string { return r.spec }

// Fill writes the experts of one step to dst, (layers, tokens, top_k) indexes
// within the layer, distinct for a token. A Routing serves one goroutine at a time.
func (r *Routing) Fill(step, tokens int, dst []uint32) error {
	if want := r.shape.Layers * tokens * r.shape.TopK; len(dst) != want {
		return fmt.Errorf("moe: routing of %d tokens needs %d ids, not %d", tokens, want, len(dst))
	}
	return r.fill(r, step, tokens, dst)
}

// parameter reads the number of a spec.
func (r *Routing) parameter(arg, what string, low, high float64) (float64, error) {
	v, err := strconv.ParseFloat(arg, 64)
	if err != nil {
		return 0, r.wrong(fmt.Sprintf("%s %q is no number", what, arg))
	}
	if math.IsNaN(v) || v < low || v > high {
		return 0, r.wrong(fmt.Sprintf("%s %s lies outside %g..%g", what, arg, low, high))
	}
	return v, nil
}

func (r *Routing) wrong(what string) error {
	return fmt.Errorf("moe: routing %q: %s (routings: %s)", r.spec, what, RoutingForms)
}

// rng is the source of everything drawn for one layer of one step.
func (r *Routing) rng(step, layer int) *rand.Rand {
	key := mix64(mix64(r.seed+hashStep) + uint64(step))
	return rand.New(rand.NewPCG(key, mix64(key+uint64(layer)*hashStep)))
}

// layerIDs is the part of dst (layers, tokens, top_k) that belongs to one layer.
func (r *Routing) layerIDs(dst []uint32, layer int) []uint32 {
	n := len(dst) / r.shape.Layers
	return dst[layer*n:][:n]
}

// fillUniform draws every set of experts with the same chance.
func (r *Routing) fillUniform(step, _ int, dst []uint32) error {
	for l := range r.shape.Layers {
		rng, ids := r.rng(step, l), r.layerIDs(dst, l)
		for i := 0; i < len(ids); i += r.shape.TopK {
			drawDistinct(rng, r.shape.Experts, ids[i:i], ids[i:][:r.shape.TopK])
		}
	}
	return nil
}

// drawDistinct appends to have, a prefix of all, until all is full: uniformly among
// the experts that are not in it yet.
func drawDistinct(rng *rand.Rand, experts int, have, all []uint32) {
	for len(have) < len(all) {
		// A draw that is taken already is drawn again while most are free; otherwise
		// the free ones are counted through.
		if len(have)*2 < experts {
			if e := uint32(rng.IntN(experts)); !contains(have, e) {
				have = append(have, e)
			}
			continue
		}
		nth := rng.IntN(experts - len(have))
		e := uint32(0)
		for ; nth > 0 || contains(have, e); e++ {
			if !contains(have, e) {
				nth--
			}
		}
		have = append(have, e)
	}
}

func contains(ids []uint32, e uint32) bool {
	for _, have := range ids {
		if have == e {
			return true
		}
	}
	return false
}
