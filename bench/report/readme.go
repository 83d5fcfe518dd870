package report

import (
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ufm/bench"
)

// marked is a part of a text that is made from results: between
// <!-- results: FOLDER PRESET --> and <!-- end of results -->. Preset "text" takes a file
// of ufm synth's rows in place of a folder.
var marked = regexp.MustCompile(`(?s)(<!-- results: (\S+) (\S+) -->\n).*?(<!-- end of results -->)`)

// Fill returns a text with the tables between its markers made anew. Folders are
// relative to root.
func Fill(text, root string) (string, error) {
	var failed error
	filled := marked.ReplaceAllStringFunc(text, func(part string) string {
		m := marked.FindStringSubmatch(part)
		table, err := summary(filepath.Join(root, m[2]), m[3])
		if err != nil {
			failed = err
			return part
		}
		return m[1] + table + m[4]
	})
	if failed == nil && !marked.MatchString(text) {
		failed = fmt.Errorf("report: the text has no marker <!-- results: FOLDER PRESET -->")
	}
	return filled, failed
}

// summary is one preset of a folder as a table: a line for each model, a column for each
// mode.
func summary(dir, preset string) (string, error) {
	if preset == "text" {
		return textSummary(dir)
	}
	r, err := load(dir)
	if err != nil {
		return "", err
	}
	for _, g := range r.groups() {
		if g.preset == preset {
			return g.summary() + r.source(), nil
		}
	}
	return "", fmt.Errorf("report: %s has no rows of preset %s", dir, preset)
}

func (g group) summary() string {
	modes := g.values("mode")
	slices.SortStableFunc(modes, func(a, b string) int { return place(a) - place(b) })
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s | limit | of limit |\n", g.lineTitle(), strings.Join(modes, " | "))
	fmt.Fprintf(&b, "|---%s|---|---|\n", strings.Repeat("|---", len(modes)))
	for _, line := range g.byLine() {
		fmt.Fprintf(&b, "| %s |", g.lineName(line[0]))
		best := line[0]
		for _, mode := range modes {
			cell := "-"
			for _, r := range line {
				if r.Mode == mode {
					cell, best = speedOf(r), better(best, r)
				}
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		limit := best.Show("limit_ms")
		if best.LimitMs != nil {
			limit += " ms"
		}
		fmt.Fprintf(&b, " %s | %s |\n", limit, best.Show("limit_fraction"))
	}
	return b.String()
}

// place is where a mode stands among all: a preset may measure them in another order.
func place(mode string) int {
	m, err := bench.ParseMode(mode)
	if err != nil {
		return math.MaxInt
	}
	return int(m)
}

// better is the row that a line's limit is told of: that of ufm.
func better(a, b bench.Row) bench.Row {
	if b.Mode == "ufm" || a.LimitMs == nil {
		return b
	}
	return a
}

// speedOf is tokens a second, or why there are none.
func speedOf(r bench.Row) string {
	switch r.Status {
	case bench.StatusOK:
		return r.Show("tokens_per_s")
	case bench.StatusOOM:
		return "out of memory"
	}
	return string(r.Status)
}

// lineColumns tell the lines of a summary apart.
var lineColumns = []string{"layers", "experts", "bank_bytes", "dtype", "routing", "tokens"}

func (g group) lineTitle() string {
	var names []string
	for _, c := range g.lineVaries() {
		names = append(names, words(c))
	}
	return strings.Join(names, ", ")
}

func (g group) lineName(r bench.Row) string {
	var values []string
	for _, c := range g.lineVaries() {
		values = append(values, r.Show(c))
	}
	return strings.Join(values, ", ")
}

func (g group) lineVaries() []string {
	var columns []string
	for _, c := range lineColumns {
		if g.varies(c) {
			columns = append(columns, c)
		}
	}
	if columns == nil {
		return lineColumns[:2]
	}
	return columns
}

// byLine are the rows of each line, in order.
func (g group) byLine() [][]bench.Row {
	var lines [][]bench.Row
	at := map[string]int{}
	for _, r := range g.rows {
		name := g.lineName(r)
		i, ok := at[name]
		if !ok {
			i = len(lines)
			at[name] = i
			lines = append(lines, nil)
		}
		lines[i] = append(lines[i], r)
	}
	return lines
}

func (g group) values(column string) []string {
	var values []string
	seen := map[string]bool{}
	for _, r := range g.rows {
		if v := r.Show(column); !seen[v] {
			seen[v] = true
			values = append(values, v)
		}
	}
	return values
}

// source says where and when the rows were measured.
func (r results) source() string {
	commit := "unknown"
	if c := r.env.Version.Commit; c != nil {
		commit = (*c)[:min(7, len(*c))]
	}
	return fmt.Sprintf("\nTokens a second; %s, %s, commit %s; rows, plots and report in `%s`.\n",
		r.env.Machine.Device.Name, r.env.Started.Format("2 January 2006"), commit,
		"results/"+filepath.Base(r.dir))
}
