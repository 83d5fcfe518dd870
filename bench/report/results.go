package report

import (
	"fmt"
	"os"
	"path/filepath"

	"ufm/bench"
	"ufm/bench/sweep"
)

// results are what a folder holds.
type results struct {
	dir     string
	plan    sweep.Plan
	env     sweep.Environment
	rows    []bench.Row
	modeled []bench.Row       // what the simulator's clock says of each row; nil: not asked, or it knows too little
	samples map[int][]float64 // times of steps by row; nil: an older folder
}

// load reads a folder. Rows may be fewer than cells: a sweep may have been interrupted.
func load(dir string) (r results, err error) {
	r.dir = dir
	found := false
	if r.plan, r.env, found, err = sweep.Open(dir); err != nil {
		return r, err
	}
	if !found {
		return r, fmt.Errorf("report: %s has no %s: it is no folder of ufm bench", dir, sweep.PlanFile)
	}
	f, err := os.Open(filepath.Join(dir, sweep.RowsFile))
	if err != nil {
		return r, fmt.Errorf("report: %w", err)
	}
	defer f.Close()
	if r.rows, err = bench.ReadRows(f, f.Name()); err != nil {
		return r, err
	}
	if len(r.rows) > len(r.plan.Cells) {
		return r, fmt.Errorf("report: %s has %d rows for %d cells", dir, len(r.rows), len(r.plan.Cells))
	}
	for i, row := range r.rows {
		if row.Kind != bench.Measured {
			return r, fmt.Errorf("report: %s: line %d: a row of kind %s among measured ones",
				f.Name(), i+1, row.Kind)
		}
	}
	r.samples, err = sweep.Samples(dir)
	return r, err
}

// model predicts the rows, if the ceilings that were recorded before them tell how fast
// the device's kernels are: guesses in their place would be no prediction.
func (r *results) model() {
	if c := r.env.Machine.Ceilings; c.Timing != nil {
		r.modeled = bench.Model(r.rows, c)
	}
}

// group is the rows of one preset. The slices are side by side; modeled may be empty.
type group struct {
	preset  string
	rows    []bench.Row
	cells   []sweep.Cell
	modeled []bench.Row
}

// groups are the rows by preset, in the plan's order.
func (r results) groups() []group {
	var all []group
	for i, row := range r.rows {
		preset := r.plan.Cells[i].Preset
		if len(all) == 0 || all[len(all)-1].preset != preset {
			all = append(all, group{preset: preset})
		}
		last := &all[len(all)-1]
		last.rows = append(last.rows, row)
		last.cells = append(last.cells, r.plan.Cells[i])
		if r.modeled != nil {
			last.modeled = append(last.modeled, r.modeled[i])
		}
	}
	return all
}

// varies tells whether the rows of a group have more than one value in a column.
func (g group) varies(column string) bool {
	for _, r := range g.rows {
		if r.Show(column) != g.rows[0].Show(column) {
			return true
		}
	}
	return false
}
