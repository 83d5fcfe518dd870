package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"ufm/internal/trace"
	"ufm/pager"
)

// Prefetcher asks for experts ahead of the group that may use them. Each replay needs
// its own.
type Prefetcher interface {
	// start is called once, before the first group.
	start(shape pager.Shape, groups []pager.Group, seed uint64)
	// after appends what is asked for once group i has been decided.
	after(i int, ask []pager.ExpertID) []pager.ExpertID
}

// NewPrefetcher makes the prefetcher that spec names for a trace:
//
//	off                          nil
//	previous                     what the last step used in the next layer
//	frequency                    what the next layer has used most so far
//	gate                         what the next layer's gate chose one layer earlier,
//	                             where the trace has it
//	oracle:depth=2,accuracy=0.9  what the group that many groups ahead will use; each
//	                             expert is right with that chance, else any of its layer
//
// The oracle alone knows what a real run would not: it bounds what prefetching can do.
func NewPrefetcher(spec string, t *trace.Trace) (Prefetcher, error) {
	name, list, _ := strings.Cut(spec, ":")
	if list != "" && name != "oracle" {
		return nil, fmt.Errorf("sim: prefetch %q: %s has no parameters", spec, name)
	}
	switch name {
	case "off":
		return nil, nil
	case "previous":
		return &previous{}, nil
	case "frequency":
		return &frequency{}, nil
	case "gate":
		if t.Predicted == nil {
			return nil, fmt.Errorf("sim: prefetch gate: the trace has no tensor \"predicted\"")
		}
		return &gate{trace: t}, nil
	case "oracle":
		return newOracle(spec, list)
	}
	return nil, fmt.Errorf("sim: prefetch %q is unknown, want off, previous, frequency, gate "+
		"or oracle:depth=D,accuracy=P", spec)
}

// history is what prefetchers know of a trace: its groups up to the current one.
type history struct {
	shape  pager.Shape
	groups []pager.Group
	last   []int // (layers): 1 + the layer's last group, 0: none yet
}

func (h *history) start(shape pager.Shape, groups []pager.Group, _ uint64) {
	*h = history{shape: shape, groups: groups, last: make([]int, shape.Layers)}
}

// next notes group i and returns the layer after its own.
func (h *history) next(i int) (layer int) {
	layer = h.groups[i].Layer
	h.last[layer] = i + 1
	return (layer + 1) % h.shape.Layers
}

type previous struct{ history }

func (p *previous) after(i int, ask []pager.ExpertID) []pager.ExpertID {
	if at := p.last[p.next(i)]; at > 0 {
		ask = append(ask, p.groups[at-1].Experts...)
	}
	return ask
}

type frequency struct {
	history
	uses []int64          // (universe)
	rank []pager.ExpertID // (experts) scratch
}

func (p *frequency) start(shape pager.Shape, groups []pager.Group, seed uint64) {
	p.history.start(shape, groups, seed)
	p.uses = make([]int64, shape.Universe())
}

// after asks for as many experts as the layer's last group had.
func (p *frequency) after(i int, ask []pager.ExpertID) []pager.ExpertID {
	layer := p.next(i)
	for _, e := range p.groups[i].Experts {
		p.uses[e]++
	}
	at := p.last[layer]
	if at == 0 {
		return ask
	}
	p.rank = p.rank[:0]
	for e := range p.shape.Experts {
		p.rank = append(p.rank, p.shape.ID(layer, e))
	}
	slices.SortFunc(p.rank, func(a, b pager.ExpertID) int {
		return cmp.Or(cmp.Compare(p.uses[b], p.uses[a]), cmp.Compare(a, b))
	})
	return append(ask, p.rank[:len(p.groups[at-1].Experts)]...)
}

// gate takes the recorded choices of the next layer's gate.
type gate struct {
	history
	trace *trace.Trace
	step  int // whose tokens begin at first
	first int
	seen  []bool // (experts) scratch
}

func (p *gate) start(shape pager.Shape, groups []pager.Group, seed uint64) {
	p.history.start(shape, groups, seed)
	p.step, p.first, p.seen = 0, 0, make([]bool, shape.Experts)
}

func (p *gate) after(i int, ask []pager.ExpertID) []pager.ExpertID {
	g := p.groups[i]
	for ; p.step < g.Step; p.step++ {
		p.first += int(p.trace.StepSizes[p.step])
	}
	layer, k := g.Layer+1, p.shape.TopK
	if layer == p.shape.Layers {
		return ask // the next token is not known yet
	}
	from := len(ask)
	for token := p.first; token < p.first+int(p.trace.StepSizes[p.step]); token++ {
		for _, e := range p.trace.Predicted[(token*p.shape.Layers+layer)*k:][:k] {
			if e >= 0 && !p.seen[e] {
				p.seen[e] = true
				ask = append(ask, p.shape.ID(layer, int(e)))
			}
		}
	}
	for _, e := range ask[from:] {
		p.seen[int(e)%p.shape.Experts] = false
	}
	return ask
}

// oracle knows the future, more or less.
type oracle struct {
	history
	depth    int
	accuracy float64
	rng      *rand.Rand
}

func newOracle(spec, list string) (*oracle, error) {
	o := &oracle{depth: 1, accuracy: 1}
	if list == "" && strings.Contains(spec, ":") {
		return nil, fmt.Errorf("sim: prefetch %q: no parameter after the colon", spec)
	}
	for pair := range strings.SplitSeq(list, ",") {
		key, value, _ := strings.Cut(pair, "=")
		var err error
		switch {
		case list == "":
		case key == "depth":
			o.depth, err = strconv.Atoi(value)
			if err != nil || o.depth < 1 || o.depth > 1<<20 {
				return nil, fmt.Errorf("sim: prefetch %q: depth is %q, want a whole number "+
					"from 1 to %d", spec, value, 1<<20)
			}
		case key == "accuracy":
			o.accuracy, err = strconv.ParseFloat(value, 64)
			if err != nil || !(o.accuracy >= 0 && o.accuracy <= 1) {
				return nil, fmt.Errorf("sim: prefetch %q: accuracy is %q, want a number from 0 to 1",
					spec, value)
			}
		default:
			return nil, fmt.Errorf("sim: prefetch %q: parameter %q is unknown, want depth, accuracy",
				spec, key)
		}
	}
	return o, nil
}

func (o *oracle) start(shape pager.Shape, groups []pager.Group, seed uint64) {
	o.history.start(shape, groups, seed)
	o.rng = rand.New(rand.NewPCG(seed, 0))
}

func (o *oracle) after(i int, ask []pager.ExpertID) []pager.ExpertID {
	if i+o.depth >= len(o.groups) {
		return ask
	}
	g := o.groups[i+o.depth]
	for _, e := range g.Experts {
		if o.accuracy < 1 && o.rng.Float64() >= o.accuracy {
			e = o.shape.ID(g.Layer, o.rng.IntN(o.shape.Experts))
		}
		ask = append(ask, e)
	}
	return ask
}
