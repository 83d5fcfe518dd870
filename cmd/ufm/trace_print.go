package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// printDescription prints a trace's shape in lines, and how it uses its experts as a
// table.
func printDescription(w io.Writer, d described) {
	fmt.Fprint(w, d.File)
	if d.Model != "" {
		fmt.Fprint(w, ": ", d.Model)
	}
	fmt.Fprintf(w, "\n  %d layers × %d experts = %s, top-%d\n",
		d.Layers, d.Experts, comma(d.Bank), d.TopK)
	fmt.Fprintf(w, "  %s tokens in %s steps\n", comma(d.Tokens), comma(d.Steps))
	fmt.Fprintf(w, "  token cycle %s slots, %.1f %% of the bank\n",
		comma(d.TokenCycle), 100*float64(d.TokenCycle)/float64(d.Bank))

	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"layer", "phase", "steps", "tokens", "accesses", "distinct",
		"hottest 10 %", "reuse median", "p90", "p99", "max"})
	columns := []table.ColumnConfig{{Number: 1, Align: text.AlignRight}}
	for number := 3; number <= 11; number++ {
		columns = append(columns, table.ColumnConfig{
			Number: number, Align: text.AlignRight, AlignHeader: text.AlignRight,
		})
	}
	t.SetColumnConfigs(columns)
	for _, u := range d.Uses {
		layer := "all"
		if u.Layer != nil {
			layer = strconv.Itoa(*u.Layer)
		}
		t.AppendRow(table.Row{layer, u.Phase, comma(u.Steps), comma(u.Tokens),
			comma(u.Accesses), comma(u.Distinct), fmt.Sprintf("%.1f %%", 100*u.HotShare),
			known(u.ReuseMedian), known(u.ReuseP90), known(u.ReuseP99), known(u.ReuseMax)})
	}
	fmt.Fprintln(w, t.Render())
	fmt.Fprintln(w, "reuse: other experts used since the same one was; LRU with more slots hits")
}

func comma(n int) string { return humanize.Comma(int64(n)) }

// known writes a number that may be unknown.
func known(n *int) string {
	if n == nil {
		return "-"
	}
	return comma(*n)
}
