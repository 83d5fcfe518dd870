package sim

import (
	"slices"
	"strings"

	"ufm/pager"
)

// Policies describes all that Options.Policy takes, in alphabetical order: the policies
// of package pager, and the bounds belady and min, which know the future.
func Policies() []pager.PolicyInfo {
	list := append(pager.Policies(),
		pager.PolicyInfo{
			Name: "belady", Cost: "O(log groups)",
			Evicts: "what the groups to come need last; a bound, in the simulator only",
			Source: "Belady, IBM Systems Journal 1966",
		},
		pager.PolicyInfo{
			Name: "min", Cost: "O(log accesses)",
			Evicts: "as belady, on single accesses, where it is exact; a bound, with flat replays only",
			Source: "Mattson, Gecsei, Slutz and Traiger, IBM Systems Journal 1970",
		})
	slices.SortFunc(list, func(a, b pager.PolicyInfo) int { return strings.Compare(a.Name, b.Name) })
	return list
}
