package main

import (
	"fmt"

	"ufm/bench"
	"ufm/bench/sweep"
)

// benchProgress shows how a sweep goes: the bar of a run, and a line for each cell.
type benchProgress struct{ *progress }

// Finished prints a line for a cell that has its row.
func (p *benchProgress) Finished(n, total int, c sweep.Cell, r bench.Row) {
	line := fmt.Sprintf("%d of %d: %v: %s", n, total, c, r.Status)
	if r.TokensPerS != nil {
		line += fmt.Sprintf(", %s tok/s", r.Show("tokens_per_s"))
	}
	if r.LimitFraction != nil {
		line += fmt.Sprintf(", %s of the limit", r.Show("limit_fraction"))
	}
	p.Note(line)
}
