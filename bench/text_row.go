package bench

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// TextRow is one phase of a whole model at one budget. Names that Row has too mean the
// same, but for those said below: a phase is one prompt or one answer, after a
// shorter warm-up.
type TextRow struct {
	Row // tokens: of the phase; tokens_per_s: tokens / time from its begin to its end

	DenseBytes    int64    `json:"dense_bytes"` // read by compute in a step, outside the experts
	Prefetch      string   `json:"prefetch"`    // with what auto decided, and why
	StepMsMean    *float64 `json:"step_ms_mean"`
	HitRate       *float64 `json:"hit_rate"`
	BytesPerToken *float64 `json:"bytes_per_token"` // of experts moved
	// limit_ms and chain_ms, means of a step, are with the dense weights.
	// limit_fraction is limit_ms / step_ms_mean; so is:
	ChainFraction *float64 `json:"chain_fraction"`
}

// CheckTextFormat tells whether WriteText knows a format.
func CheckTextFormat(format string) error {
	switch format {
	case "table", "json", "jsonl":
		return nil
	}
	return fmt.Errorf("bench: unknown format %q (json, jsonl, table)", format)
}

// WriteText writes rows as a table for people, as one json array, or as jsonl.
func WriteText(w io.Writer, format string, rows []TextRow) error {
	if err := CheckTextFormat(format); err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	switch format {
	case "table":
		return writeTextTable(w, rows)
	case "json":
		e.SetIndent("", "  ")
		if rows == nil {
			rows = []TextRow{}
		}
		return e.Encode(rows)
	}
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func writeTextTable(w io.Writer, rows []TextRow) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"budget", "slots", "phase", "status", "tok/s", "ms/step", "hits",
		"moved a token", "limit ms", "by", "of limit", "chain ms", "of chain"})
	for _, r := range rows {
		by := unknown
		if r.LimitBy != nil {
			by = *r.LimitBy
		}
		t.AppendRow(table.Row{
			size(r.BudgetBytes), humanize.Comma(int64(r.Slots)), r.Phase, r.Status,
			show(r.TokensPerS, figure), show(r.StepMsMean, figure), show(r.HitRate, percent),
			show(r.BytesPerToken, func(b float64) string { return size(int64(b)) }),
			show(r.LimitMs, figure), by, show(r.LimitFraction, percent),
			show(r.ChainMs, figure), show(r.ChainFraction, percent),
		})
	}
	_, err := fmt.Fprintln(w, t.Render())
	return err
}
