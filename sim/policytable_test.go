package sim_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ufm/pager"
	"ufm/sim"
)

var update = flag.Bool("update", false, "write the tables of docs/policy.md anew")

var tableFractions = []float64{.03, .05, .10, .20, .33, .50}

var tableTraces = []struct{ name, file string }{
	{"Qwen3-30B-A3B", qwen}, {"Gemma-4-26B-A4B", gemma}, {"tiny-qwen3-moe", tiny},
}

// heldOut is the second half of a trace's decode phase: parameters were chosen on the
// first.
func heldOut(t testing.TB, file string) (pager.Shape, []pager.Group) {
	shape, groups := decoded(t, file)
	return shape, groups[len(groups)/2:]
}

// TestPolicyTables holds the tables of docs/policy.md to what the policies do. To write
// them anew:
//
//	UFM_TESTDATA=… go test ./sim -run TestPolicyTables -update
//
// Without that flag only one of them is replayed at all sizes, and the long one with some
// policies only.
func TestPolicyTables(t *testing.T) {
	t.Parallel()
	page := filepath.Join("..", "docs", "policy.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := text
	gaps := gapTable{}
	for _, tr := range tableTraces {
		shape, groups := heldOut(t, tr.file)
		only, policies := -1, tablePolicies()
		if !*update && tr.file != gemma {
			only = slices.Index(tableFractions, .10)
		}
		if !*update && tr.file == tiny {
			policies = []string{"belady", "nextuse", "lfru", "lru"}
		}
		rows := policyRows(t, shape, groups, policies, only)
		if *update {
			want = replaceTable(t, want, tr.name, drawTable(shape, rows))
		} else {
			compareTable(t, tableOf(t, text, tr.name), rows, only)
		}
		if only < 0 {
			gaps.add(tr.name, rows)
		}
	}
	if *update {
		want = replaceTable(t, want, "gap", gaps.String())
	} else {
		for _, line := range gaps.lines {
			if !strings.Contains(tableOf(t, text, "gap"), line) {
				t.Errorf("docs/policy.md: the last table lacks %q: run with -update", line)
			}
		}
	}
	if *update && !bytes.Equal(text, want) {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// policyRow has the hit rates of a policy in percent, by size, as the page shows them.
type policyRow struct {
	policy string
	cells  [6]string
	rates  [6]float64 // unrounded
}

// tablePolicies are all but min, which is for single accesses, and arraylru, which is lru.
func tablePolicies() []string {
	var names []string
	for _, p := range sim.Policies() {
		if p.Name != "min" && p.Name != "arraylru" {
			names = append(names, p.Name)
		}
	}
	return names
}

// policyRows replays policies at all sizes, or at the only one.
func policyRows(
	t *testing.T, shape pager.Shape, groups []pager.Group, policies []string, only int,
) []policyRow {
	t.Helper()
	var rows []policyRow
	for _, policy := range policies {
		row := policyRow{policy: policy}
		for i, fraction := range tableFractions {
			if only >= 0 && i != only {
				continue
			}
			rate := hitRate(t, shape, groups, policy, fraction)
			row.cells[i], row.rates[i] = fmt.Sprintf("%.1f", rate), rate
		}
		rows = append(rows, row)
	}
	at := slices.Index(tableFractions, .10)
	slices.SortStableFunc(rows, func(a, b policyRow) int {
		return cmp.Compare(b.rates[at], a.rates[at])
	})
	return rows
}

// gapTable tells how far nextuse goes from lru to belady, a line a trace.
type gapTable struct{ lines []string }

func (g *gapTable) add(trace string, rows []policyRow) {
	rates := map[string][6]float64{}
	for _, r := range rows {
		rates[r.policy] = r.rates
	}
	line := "| " + trace + " |"
	for i := range tableFractions {
		low, high := rates["lru"][i], rates["belady"][i]
		if high-low < .05 {
			line += " – |"
			continue
		}
		line += fmt.Sprintf(" %.0f %% |", 100*(rates[pager.DefaultPolicy][i]-low)/(high-low))
	}
	g.lines = append(g.lines, line+"\n")
}

func (g *gapTable) String() string {
	head := "| trace |"
	for _, f := range tableFractions {
		head += fmt.Sprintf(" %.0f %% |", 100*f)
	}
	head += "\n|---|" + strings.Repeat("---|", len(tableFractions)) + "\n"
	return head + strings.Join(g.lines, "")
}

func drawTable(shape pager.Shape, rows []policyRow) string {
	var b strings.Builder
	b.WriteString("| slots |")
	for _, f := range tableFractions {
		fmt.Fprintf(&b, " %d (%.0f %%) |", int(f*float64(shape.Universe())), 100*f)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(tableFractions)) + "\n")
	for _, r := range rows {
		name := r.policy
		if name == pager.DefaultPolicy {
			name = "**" + name + "**"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", name, strings.Join(r.cells[:], " | "))
	}
	return b.String()
}

// compareTable checks the order of the rows and the cells that were replayed.
func compareTable(t *testing.T, table string, rows []policyRow, only int) {
	t.Helper()
	page := map[string][]string{}
	var order []string
	for _, line := range strings.Split(strings.TrimSpace(table), "\n")[2:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		name := strings.Trim(cells[0], "*")
		page[name] = cells[1:]
		if slices.ContainsFunc(rows, func(r policyRow) bool { return r.policy == name }) {
			order = append(order, name)
		}
	}
	if len(page) != len(tablePolicies()) {
		t.Errorf("docs/policy.md: got %d rows, want %d: run with -update",
			len(page), len(tablePolicies()))
	}
	for i, row := range rows {
		if i >= len(order) || order[i] != row.policy {
			t.Fatalf("docs/policy.md: got rows in the order %v, want %s at %d: run with -update",
				order, row.policy, i)
		}
		for j, want := range row.cells {
			if got := page[row.policy][j]; (only < 0 || j == only) && got != want {
				t.Errorf("docs/policy.md: %s at %g of the bank: the page has %s, a replay %s",
					row.policy, tableFractions[j], got, want)
			}
		}
	}
}

func tableMarks(name string) (begin, end string) {
	return "<!-- table " + name + " -->\n", "<!-- end -->\n"
}

// tableOf is the part of the page between the marks of a table.
func tableOf(t *testing.T, text []byte, name string) string {
	t.Helper()
	begin, end := tableMarks(name)
	_, after, ok := strings.Cut(string(text), begin)
	table, _, ok2 := strings.Cut(after, end)
	if !ok || !ok2 {
		t.Fatalf("docs/policy.md has no %q … %q", begin, end)
	}
	return table
}

func replaceTable(t *testing.T, text []byte, name, table string) []byte {
	begin, _ := tableMarks(name)
	old := tableOf(t, text, name)
	return []byte(strings.Replace(string(text), begin+old, begin+table, 1))
}

// TestNextUseOnHeldOutHalves checks what is promised of the default policy: at least 35 %
// of the way from lru to belady at a tenth of the bank, and nowhere half a point
// below lru, from a cold start and after the first half.
func TestNextUseOnHeldOutHalves(t *testing.T) {
	t.Parallel()
	for _, tr := range tableTraces {
		shape, part := heldOut(t, tr.file)
		fractions := tableFractions
		if tr.file == tiny { // long
			fractions = []float64{.03, .10, .33}
		}
		for _, fraction := range fractions {
			got := hitRate(t, shape, part, pager.DefaultPolicy, fraction)
			lru := hitRate(t, shape, part, "lru", fraction)
			best := hitRate(t, shape, part, "belady", fraction)
			if got < lru-.5 {
				t.Errorf("%s, %g of the bank: got %.2f %%, lru has %.2f %%", tr.name, fraction, got, lru)
			}
			if gap := (got - lru) / (best - lru); fraction == .10 && gap < .35 {
				t.Errorf("%s: nextuse closes %.3f of the gap from %.2f to %.2f %%, want 0.35",
					tr.name, gap, lru, best)
			}
		}
	}
}
