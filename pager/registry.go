package pager

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// registry has every policy that needs nothing but a shape and a pool.
var registry = map[string]func(shape Shape, slots int, params *parameters) Policy{
	"arraylru": func(s Shape, slots int, _ *parameters) Policy { return newArrayLRU(s, slots) },
	"clock":    func(s Shape, slots int, _ *parameters) Policy { return newClock(s, slots) },
	"fifo":     func(s Shape, slots int, _ *parameters) Policy { return newFIFO(s, slots) },
	"layerlru": func(s Shape, _ int, _ *parameters) Policy { return newLayerLRU(s) },
	"lru":      func(_ Shape, slots int, _ *parameters) Policy { return newLibraryLRU(slots) },
	"mru":      func(s Shape, slots int, _ *parameters) Policy { return newMRU(s, slots) },
	"nextuse": func(s Shape, _ int, params *parameters) Policy {
		return newNextUse(s, params.integer("window", 2, 1024, defaultWindow))
	},
	"random": func(_ Shape, slots int, params *parameters) Policy {
		return newRandom(slots, params.integer("seed", 0, 1<<31-1, defaultSeed))
	},
	"sieve": func(s Shape, slots int, _ *parameters) Policy { return newSieve(s, slots) },
}

// DefaultPolicy is what New takes where Options.Policy is nil.
const DefaultPolicy = "nextuse"

// PolicyNames lists the policies that NewPolicy makes, in alphabetical order.
func PolicyNames() []string { return slices.Sorted(maps.Keys(registry)) }

// NewPolicy makes the policy that spec names, for a pool of that many slots. A spec is
// a name, or a name with parameters: "name:key=value,key=value".
func NewPolicy(spec string, shape Shape, slots int) (Policy, error) {
	if err := (&Options{Shape: shape, Slots: slots}).validate(); err != nil {
		return nil, err
	}
	name, list, _ := strings.Cut(spec, ":")
	if name == "belady" {
		return nil, errors.New("pager: policy belady needs to know the future: " +
			"it runs in the simulator only")
	}
	make, ok := registry[name]
	if !ok {
		return nil, fmt.Errorf("pager: policy %q is unknown, want one of %s",
			name, strings.Join(PolicyNames(), ", "))
	}
	params, err := parseParameters(spec, list)
	if err != nil {
		return nil, err
	}
	policy := make(shape, min(slots, shape.Universe()), params)
	if err := params.finish(); err != nil {
		return nil, err
	}
	return policy, nil
}

// parameters are the key=value pairs of one spec. A constructor takes those it knows;
// finish reports what was wrong with them and any that nobody took.
type parameters struct {
	spec   string
	values map[string]string
	known  []string
	err    error
}

func parseParameters(spec, list string) (*parameters, error) {
	p := &parameters{spec: spec, values: map[string]string{}}
	if list == "" {
		if strings.Contains(spec, ":") {
			return nil, fmt.Errorf("pager: policy %q: no parameter after the colon", spec)
		}
		return p, nil
	}
	for pair := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" || value == "" {
			return nil, fmt.Errorf("pager: policy %q: parameter %q, want key=value", spec, pair)
		}
		if _, again := p.values[key]; again {
			return nil, fmt.Errorf("pager: policy %q: parameter %s is given twice", spec, key)
		}
		p.values[key] = value
	}
	return p, nil
}

// integer takes parameter key, a whole number from low to high, or its default.
func (p *parameters) integer(key string, low, high, def int) int {
	p.known = append(p.known, key)
	text, ok := p.values[key]
	if !ok {
		return def
	}
	delete(p.values, key)
	v, err := strconv.Atoi(text)
	if (err != nil || v < low || v > high) && p.err == nil {
		p.err = fmt.Errorf("pager: policy %q: parameter %s is %q, want a whole number from %d to %d",
			p.spec, key, text, low, high)
	}
	return min(max(v, low), high)
}

func (p *parameters) finish() error {
	if p.err != nil || len(p.values) == 0 {
		return p.err
	}
	unknown := slices.Sorted(maps.Keys(p.values))[0]
	if len(p.known) == 0 {
		return fmt.Errorf("pager: policy %q: parameter %s is unknown: the policy has none",
			p.spec, unknown)
	}
	return fmt.Errorf("pager: policy %q: parameter %s is unknown, want one of %s",
		p.spec, unknown, strings.Join(p.known, ", "))
}
