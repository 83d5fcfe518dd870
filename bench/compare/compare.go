// Package compare sets two folders of results side by side, cell by cell.
//
//	cells, err := compare.Folders("results/a", "results/b")
//	err = compare.Write(os.Stdout, "table", cells)
//	slower := compare.Slower(cells, 0.05)
//
// Cells are the same if all that was asked is. Their speeds are compared as a ratio
// with a 95 % interval from the times of their steps (see Interval): it covers what
// varies within a run, not what varies from one run to the next.
package compare

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ufm/bench"
	"ufm/bench/sweep"
)

// Cell is one cell of two folders, A and B.
type Cell struct {
	Name    string   `json:"cell"`
	StatusA string   `json:"status_a"` // "": only in B
	StatusB string   `json:"status_b"`
	SpeedA  *float64 `json:"tokens_per_s_a"`
	SpeedB  *float64 `json:"tokens_per_s_b"`
	Ratio   *float64 `json:"ratio"` // of speeds, B to A; nil: one has none
	Low     *float64 `json:"low"`   // of the ratio's interval; nil: no times of steps are kept
	High    *float64 `json:"high"`
	Mark    Mark     `json:"mark"`
}

// Mark says in a word how B stands to A.
type Mark string

// The marks. Faster and slower mean beyond the noise within the runs.
const (
	Faster  Mark = "faster"
	Slow    Mark = "slower"
	Alike   Mark = "alike"
	Unsure  Mark = "unknown noise"
	Changed Mark = "status"
	OnlyA   Mark = "only in A"
	OnlyB   Mark = "only in B"
)

// entry is a row with the times of its steps.
type entry struct {
	row   bench.Row
	steps []float64 // nil: not kept
}

// keyColumns are all that is asked of a cell. A pool's size is asked by its budget, but
// an automatic one may differ; then they are different cells.
var keyColumns = []string{
	"mode", "model", "layers", "experts", "d_model", "d_hidden", "top_k", "form", "dtype",
	"routing", "tokens", "seed", "policy", "phase", "slots", "budget_bytes",
}

// Folders compares the rows of two folders, in A's order, then what only B has.
func Folders(a, b string) ([]Cell, error) {
	entriesA, namesA, err := read(a)
	if err != nil {
		return nil, err
	}
	entriesB, namesB, err := read(b)
	if err != nil {
		return nil, err
	}
	all := map[string]bench.Row{}
	for _, side := range []map[string]entry{entriesA, entriesB} {
		for k, e := range side {
			all[k] = e.row
		}
	}
	vary := varying(all)
	var cells []Cell
	for _, k := range namesA {
		other, ok := entriesB[k]
		c := newCell(entriesA[k], other, ok)
		c.Name = name(entriesA[k].row, vary)
		cells = append(cells, c)
	}
	for _, k := range namesB {
		if _, ok := entriesA[k]; !ok {
			e := entriesB[k]
			cells = append(cells, Cell{
				Name: name(e.row, vary), StatusB: string(e.row.Status), SpeedB: e.row.TokensPerS, Mark: OnlyB,
			})
		}
	}
	return cells, nil
}

// read returns a folder's entries by key, and the keys in order. A cell that occurs
// again (in another preset) gets a number.
func read(dir string) (map[string]entry, []string, error) {
	f, err := os.Open(filepath.Join(dir, sweep.RowsFile))
	if err != nil {
		return nil, nil, fmt.Errorf("compare: %w", err)
	}
	defer f.Close()
	rows, err := bench.ReadRows(f, f.Name())
	if err != nil {
		return nil, nil, err
	}
	samples, err := sweep.Samples(dir)
	if err != nil {
		return nil, nil, err
	}
	entries := map[string]entry{}
	var keys []string
	for i, r := range rows {
		k := key(r)
		for n := 2; ; n++ {
			if _, taken := entries[k]; !taken {
				break
			}
			k = fmt.Sprintf("%s #%d", key(r), n)
		}
		entries[k] = entry{row: r, steps: samples[i]}
		keys = append(keys, k)
	}
	return entries, keys, nil
}

func key(r bench.Row) string {
	parts := make([]string, len(keyColumns))
	for i, c := range keyColumns {
		parts[i] = r.Show(c)
	}
	return strings.Join(parts, "|")
}

// varying are the columns of the key that tell cells apart.
func varying(rows map[string]bench.Row) []string {
	var columns []string
	for _, c := range keyColumns {
		values := map[string]bool{}
		for _, r := range rows {
			values[r.Show(c)] = true
		}
		if len(values) > 1 || c == "mode" {
			columns = append(columns, c)
		}
	}
	return columns
}

func name(r bench.Row, columns []string) string {
	parts := []string{r.Mode}
	for _, c := range columns {
		if v := r.Show(c); c != "mode" && v != "-" {
			parts = append(parts, strings.TrimSuffix(c, "_bytes")+" "+v)
		}
	}
	return strings.Join(parts, ", ")
}

func newCell(a, b entry, found bool) Cell {
	c := Cell{StatusA: string(a.row.Status), SpeedA: a.row.TokensPerS, Mark: OnlyA}
	if !found {
		return c
	}
	c.StatusB, c.SpeedB = string(b.row.Status), b.row.TokensPerS
	switch {
	case a.row.Status != b.row.Status:
		c.Mark = Changed
		return c
	case a.row.StepMsMedian == nil || b.row.StepMsMedian == nil:
		c.Mark = Alike
		return c
	}
	c.Ratio = new(*a.row.StepMsMedian / *b.row.StepMsMedian)
	low, high, ok := Interval(a.steps, b.steps)
	switch {
	case !ok:
		c.Mark = Unsure
		return c
	case low > 1:
		c.Mark = Faster
	case high < 1:
		c.Mark = Slow
	default:
		c.Mark = Alike
	}
	c.Low, c.High = &low, &high
	return c
}

// Slower are the cells that B runs slower than A by more than a part, beyond noise
// where that is known, and those that it does not end well any more, or has no more.
func Slower(cells []Cell, part float64) []Cell {
	var slower []Cell
	for _, c := range cells {
		failed := (c.Mark == Changed || c.Mark == OnlyA) && c.StatusA == string(bench.StatusOK)
		slow := c.Ratio != nil && *c.Ratio < 1-part && c.Mark != Alike
		if failed || slow {
			slower = append(slower, c)
		}
	}
	return slower
}
