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

// column is a column of a table for people.
type column[T any] struct {
	title string
	cell  func(T) string
	word  bool // not a figure
}

// tableColumns are the few figures that people look at first. Counts are those of the
// whole window, as in the other formats.
var tableColumns = []column[Row]{
	{"mode", func(r Row) string { return r.Mode }, true},
	{"status", func(r Row) string { return string(r.Status) }, true},
	{"slots", func(r Row) string { return humanize.Comma(int64(r.Slots)) }, false},
	{"hits", func(r Row) string { return show(r.Hits, integer[int64]) }, false},
	{"misses", func(r Row) string { return show(r.Misses, integer[int64]) }, false},
	{"uploads", func(r Row) string { return show(r.Uploads, integer[int64]) }, false},
	{"belady", func(r Row) string { return show(r.BeladyUploads, integer[int64]) }, false},
	{"uploaded", func(r Row) string { return show(r.UploadBytes, size) }, false},
	{"ms/step", func(r Row) string { return show(r.StepMsMedian, figure) }, false},
	{"tok/s", func(r Row) string { return show(r.TokensPerS, figure) }, false},
	{"limit ms", func(r Row) string { return show(r.LimitMs, figure) }, false},
	{"of limit", func(r Row) string { return show(r.LimitFraction, percent) }, false},
	{"nmse", func(r Row) string { return show(r.NMSE, scientific) }, false},
}

// writeTable leaves out columns that no row has a figure for.
func writeTable[T any](w io.Writer, columns []column[T], rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	var header table.Row
	var alignment []table.ColumnConfig
	lines := make([]table.Row, len(rows))
	for _, column := range columns {
		if !anyFigure(rows, column.cell) {
			continue
		}
		header = append(header, column.title)
		for i, r := range rows {
			lines[i] = append(lines[i], column.cell(r))
		}
		if !column.word {
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

func anyFigure[T any](rows []T, cell func(T) string) bool {
	for _, r := range rows {
		if cell(r) != unknown {
			return true
		}
	}
	return false
}
