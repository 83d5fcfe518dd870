package compare

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Write writes cells as table or json.
func Write(w io.Writer, format string, cells []Cell) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(cells)
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"cell", "A tok/s", "B tok/s", "B / A", "95 % interval", ""})
	for _, c := range cells {
		t.AppendRow(table.Row{c.Name, speed(c.SpeedA, c.StatusA), speed(c.SpeedB, c.StatusB),
			ratio(c.Ratio), interval(c), c.Mark})
	}
	right := func(n int) table.ColumnConfig {
		return table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight}
	}
	t.SetColumnConfigs([]table.ColumnConfig{right(2), right(3), right(4), right(5)})
	_, err := fmt.Fprintln(w, t.Render())
	return err
}

// speed is a cell's, or why it has none.
func speed(v *float64, status string) string {
	switch {
	case v == nil:
		return status
	case *v < 1000:
		return fmt.Sprintf("%.3g", *v)
	}
	return humanize.Comma(int64(*v + 0.5))
}

func ratio(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *v)
}

func interval(c Cell) string {
	if c.Low == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f to %.3f", *c.Low, *c.High)
}
