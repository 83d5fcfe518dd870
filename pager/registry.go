package pager

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// PolicyInfo describes a policy to those who choose one.
type PolicyInfo struct {
	Name       string
	Evicts     string // what it evicts, in words
	Cost       string // of an access
	Source     string // that describes it first
	Parameters []Parameter
}

// policyKind is one that needs nothing but a shape, a pool and parameters.
type policyKind struct {
	PolicyInfo
	make func(name string, s Shape, slots int, a *arguments) Policy
}

// DefaultPolicy is what New takes where Options.Policy is nil.
const DefaultPolicy = "nextuse"

// Policies describes the policies that NewPolicy makes, in alphabetical order.
func Policies() []PolicyInfo {
	list := make([]PolicyInfo, len(registry))
	for i, kind := range registry {
		list[i] = kind.PolicyInfo
		list[i].Parameters = slices.Clone(kind.Parameters)
	}
	return list
}

// PolicyNames lists the policies that NewPolicy makes, in alphabetical order.
func PolicyNames() []string {
	names := make([]string, len(registry))
	for i, kind := range registry {
		names[i] = kind.Name
	}
	return names
}

// NewPolicy makes the policy that spec names, for a pool of that many slots. A spec is
// a name, or a name with parameters: "name:key=value,key=value".
func NewPolicy(spec string, shape Shape, slots int) (Policy, error) {
	if err := (&Options{Shape: shape, Slots: slots}).validate(); err != nil {
		return nil, err
	}
	name, list, colon := strings.Cut(spec, ":")
	switch name {
	case "belady":
		return nil, errors.New("pager: policy belady needs to know the future: " +
			"it runs in the simulator only")
	case "min":
		return nil, errors.New("pager: policy min is belady on single accesses and needs to " +
			"know the future: it runs in the simulator's flat mode only")
	}
	i := slices.Index(PolicyNames(), name)
	if i < 0 {
		return nil, fmt.Errorf("pager: policy %q is unknown, want one of %s",
			name, strings.Join(PolicyNames(), ", "))
	}
	if colon && list == "" {
		return nil, fmt.Errorf("pager: policy %q: no parameter after the colon", spec)
	}
	args, err := parseArguments(&registry[i], list)
	if err != nil {
		return nil, fmt.Errorf("pager: policy %q: %w", spec, err)
	}
	return registry[i].make(args.spec(), shape, min(slots, shape.Universe()), args), nil
}
