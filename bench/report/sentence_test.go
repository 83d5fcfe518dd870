package report

import (
	"strings"
	"testing"

	"ufm/bench"
)

// What did not do well, or not at all, is told what mode ufm makes of the same work.
func TestInstead(t *testing.T) {
	row := func(mode string, experts int, budget int64, speed float64) bench.Row {
		r := bench.Row{Mode: mode, Status: bench.StatusOK, Experts: experts, BudgetBytes: budget, TokensPerS: &speed}
		if speed == 0 {
			r.Status, r.TokensPerS, r.Error = bench.StatusOOM, nil, new("too large")
		}
		return r
	}
	g := group{rows: []bench.Row{
		row("baseline", 8, 800, 0), row("published", 8, 400, 10), row("published", 8, 400, 101),
		row("naive", 8, 400, 200), row("naive", 8, 300, 1), row("naive", 9, 400, 1),
		row("ufm", 8, 400, 100), row("ufm", 9, 400, 0),
	}}
	for i, want := range []string{
		"Mode ufm runs it with 400 B for experts at 100 tok/s.", "Mode ufm makes 100 tok/s of the same budget.",
		"Mode ufm is as fast: 100 tok/s.", "Mode ufm is slower here: 100 tok/s.", "", "", "", "",
	} {
		got := g.sentence("cell", g.rows[i], false)
		if !strings.HasSuffix(got, want) || strings.Contains(got, "Mode ufm") != (want != "") {
			t.Errorf("row %d: got %q, want %q at its end", i, got, want)
		}
	}
}
