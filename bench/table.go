package bench

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// unknown stands in a table where a row has no figure.
const unknown = "-"

// tableColumns are the few figures that people look at first. Counts are those of the
// whole window, as in the other formats.
var tableColumns = []struct {
	title string
	cell  func(Row) string
}{
	{"mode", func(r Row) string { return r.Mode }},
	{"status", func(r Row) string { return string(r.Status) }},
	{"slots", func(r Row) string { return humanize.Comma(int64(r.Slots)) }},
	{"hits", func(r Row) string { return show(r.Hits, integer[int64]) }},
	{"misses", func(r Row) string { return show(r.Misses, integer[int64]) }},
	{"uploads", func(r Row) string { return show(r.Uploads, integer[int64]) }},
	{"belady", func(r Row) string { return show(r.BeladyUploads, integer[int64]) }},
	{"uploaded", func(r Row) string { return show(r.UploadBytes, size) }},
	{"ms/step", func(r Row) string { return show(r.StepMsMedian, figure) }},
	{"tok/s", func(r Row) string { return show(r.TokensPerS, figure) }},
	{"limit ms", func(r Row) string { return show(r.LimitMs, figure) }},
	{"of limit", func(r Row) string { return show(r.LimitFraction, percent) }},
	{"nmse", func(r Row) string { return show(r.NMSE, scientific) }},
}

// writeTable leaves out columns that no row has a figure for.
func writeTable(w io.Writer, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	var header table.Row
	var alignment []table.ColumnConfig
	lines := make([]table.Row, len(rows))
	for _, column := range tableColumns {
		if !anyFigure(rows, column.cell) {
			continue
		}
		header = append(header, column.title)
		for i, r := range rows {
			lines[i] = append(lines[i], column.cell(r))
		}
		if len(header) > 2 { // mode and status are words
			alignment = append(alignment, table.ColumnConfig{
				Number: len(header), Align: text.AlignRight, AlignHeader: text.AlignRight,
			})
		}
	}
	t.SetColumnConfigs(alignment)
	t.AppendHeader(header)
	t.AppendRows(lines)
	_, err := fmt.Fprintln(w, t.Render())
	return err
}

func anyFigure(rows []Row, cell func(Row) string) bool {
	for _, r := range rows {
		if cell(r) != unknown {
			return true
		}
	}
	return false
}
