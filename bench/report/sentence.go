package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"ufm/bench"
)

// sentence is what happened to a row and what would help it; name takes the place of the
// mode, with which bench begins.
func (g group) sentence(name string, r bench.Row, unified bool) string {
	lines := []string{strings.Replace(r.Sentence(), r.Mode, name, 1)}
	switch {
	case r.Mode == "ufm" && r.Status == bench.StatusOK:
		lines = append(lines, r.Advice(unified)...)
	case r.Mode == "baseline" && r.Status == bench.StatusOK:
		lines = append(lines, r.Advice(false)...) // it is resident already
	default:
		if line := g.instead(r); line != "" {
			lines = append(lines, line)
		}
	}
	for i, line := range lines[1:] {
		lines[i+1] = capital(line)
	}
	return strings.Join(lines, ". ") + "."
}

// instead is how mode ufm does what r did or could not do; "" where no such row is there.
func (g group) instead(r bench.Row) string {
	if r.Mode == "ufm" {
		return ""
	}
	i := slices.IndexFunc(g.rows, func(o bench.Row) bool {
		return o.Mode == "ufm" && o.Status == bench.StatusOK && o.TokensPerS != nil &&
			(r.Mode == "baseline" || o.BudgetBytes == r.BudgetBytes) && sameWork(o, r)
	})
	if i < 0 {
		return ""
	}
	speed, budget := g.rows[i].Show("tokens_per_s"), g.rows[i].Show("budget_bytes")
	switch {
	case r.TokensPerS == nil:
		return fmt.Sprintf("mode ufm runs it with %s for experts at %s tok/s", budget, speed)
	case *r.TokensPerS < 0.98**g.rows[i].TokensPerS:
		return fmt.Sprintf("mode ufm makes %s tok/s of the same budget", speed)
	case *r.TokensPerS > 1.02**g.rows[i].TokensPerS:
		return fmt.Sprintf("mode ufm is slower here: %s tok/s", speed)
	}
	return fmt.Sprintf("mode ufm is as fast: %s tok/s", speed)
}

// sameWork tells whether two rows were given the same to compute.
func sameWork(a, b bench.Row) bool {
	for _, c := range []string{
		"layers", "experts", "d_model", "d_hidden", "top_k", "form", "dtype", "routing", "tokens", "seed",
	} {
		if a.Show(c) != b.Show(c) {
			return false
		}
	}
	return true
}

// capital begins a sentence.
func capital(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[n:]
}
