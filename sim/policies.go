package sim

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ufm/pager"
)

// What a list of policies may name besides those of package pager.
const (
	// Published is the original's pager: lru, experts in ascending order, each miss
	// waited for.
	Published = "published"
	belady    = "belady" // the bound on groups
	minimum   = "min"    // the bound on single accesses
	everyOne  = "all"
)

// SweepPolicies describes all that ParsePolicies takes: Policies and the original's
// pager.
func SweepPolicies() []pager.PolicyInfo {
	return append(Policies(), pager.PolicyInfo{
		Name: Published, Cost: "O(1)",
		Evicts: "as lru; the original's pager: ascending order, each miss waited for",
		Source: "Desbiens, Unified Fractal Memory v0.1.1, 2026",
	})
}

var isParameter = regexp.MustCompile(`^[a-z0-9_]+=`)

// ParsePolicies reads a list such as "slru:protected=0.8,lru": a comma that a key=value
// follows belongs to the policy before it. "all" is every policy and the bounds; those
// with single accesses where flat is set.
func ParsePolicies(list string, flat bool) ([]string, error) {
	var specs []string
	for item := range strings.SplitSeq(list, ",") {
		last := len(specs) - 1
		switch {
		case item == "":
			return nil, errors.New("sim: a policy of the list is empty")
		case isParameter.MatchString(item) && last >= 0 && strings.Contains(specs[last], ":"):
			specs[last] += "," + item
		case item == everyOne:
			specs = append(specs, allPolicies(flat)...)
		default:
			specs = append(specs, item)
		}
	}
	for i, spec := range specs {
		if slices.Contains(specs[:i], spec) {
			return nil, fmt.Errorf("sim: policy %s is named twice", spec)
		}
		if flat && spec == Published {
			return nil, errors.New("sim: policy published needs groups: its order is that " +
				"within a group (without --flat)")
		}
		if !flat && spec == minimum {
			return nil, errors.New("sim: policy min is for single accesses (--flat); " +
				"for groups it is belady")
		}
		if err := checkPolicy(spec); err != nil {
			return nil, err
		}
	}
	return specs, nil
}

// checkPolicy finds a policy that does not exist, and parameters that it does not take,
// with any shape.
func checkPolicy(spec string) error {
	spec = replayed(spec, 1).Policy
	if spec == belady || spec == minimum {
		return nil
	}
	_, err := pager.NewPolicy(spec, pager.Shape{Layers: 1, Experts: 1}, 1)
	return err
}

func allPolicies(flat bool) []string {
	names := slices.DeleteFunc(pager.PolicyNames(), func(n string) bool { return n == "arraylru" }) // lru again
	if flat {
		return append(names, belady, minimum)
	}
	return append(names, Published, belady)
}

// replayed are the options that a policy of a list stands for.
func replayed(spec string, slots int) Options {
	if spec == Published {
		return Options{Policy: "lru", Slots: slots, Order: pager.Ascending}
	}
	return Options{Policy: spec, Slots: slots}
}
