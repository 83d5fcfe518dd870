package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ufm/bench"
)

// textRows reads what ufm synth --in-memory --format jsonl has printed.
func textRows(file string) ([]bench.TextRow, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var rows []bench.TextRow
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var r bench.TextRow
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("report: %s: line %d: %w", file, n, err)
		}
		rows = append(rows, r)
	}
	return rows, lines.Err()
}

// textSummary is a table of whole models: a line for each budget, the largest first.
func textSummary(file string) (string, error) {
	rows, err := textRows(file)
	if err != nil {
		return "", err
	}
	if len(rows) == 0 {
		return "", fmt.Errorf("report: %s has no rows", file)
	}
	slices.SortStableFunc(rows, func(a, b bench.TextRow) int { return b.Slots - a.Slots })
	var b strings.Builder
	b.WriteString("| slots, budget | prefill tok/s | limit ms | of limit " +
		"| decode tok/s | hits | limit ms | chain ms | of chain |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for i := 0; i+1 < len(rows); i += 2 {
		prefill, decode := rows[i], rows[i+1]
		fmt.Fprintf(&b, "| %s, %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
			decode.Show("slots"), decode.Show("budget_bytes"),
			prefill.Show("tokens_per_s"), prefill.Show("limit_ms"), prefill.Show("limit_fraction"),
			decode.Show("tokens_per_s"), share(decode.HitRate),
			decode.Show("limit_ms"), decode.Show("chain_ms"), share(decode.ChainFraction))
	}
	r := rows[0]
	commit := "unknown"
	if r.Commit != nil {
		commit = (*r.Commit)[:min(7, len(*r.Commit))]
	}
	fmt.Fprintf(&b, "\n%s, %s; %s, commit %s; rows in `results/%s`.\n", r.Model, r.DType, r.Device, commit,
		filepath.Join(filepath.Base(filepath.Dir(file)), filepath.Base(file)))
	return b.String(), nil
}

// share writes a fraction as a percentage.
func share(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100**v)
}
