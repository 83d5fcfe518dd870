// Command perf sets measured rows beside other programs that run the same layer:
//
//	go run ./bench/perf FOLDER
//
// FOLDER is one of ufm bench, as of its preset targets. The other programs are named by two
// variables of the environment, each a command with its first arguments; one that is not
// set is left out:
//
//	UFM_PEER_TORCH   a program that takes --experts --modes --tokens --topk --dtype …
//	UFM_PEER_GGML    a program that takes TYPE D_MODEL D_HIDDEN EXPERTS TOP_K TOKENS
//
// Both print JSON lines with ms_step. They run one after the other, on the same device.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"ufm/bench"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: perf FOLDER")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "perf:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, folder string) error {
	rows, err := readRows(filepath.Join(folder, "rows.jsonl"))
	if err != nil {
		return err
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"case", "limit ms", "PyTorch ms", "ggml ms", "UFM ms", "of limit", "best peer / UFM"})
	for _, r := range rows {
		torch, ggml := ask(ctx, torchPeer, r), ask(ctx, ggmlPeer, r)
		t.AppendRow(table.Row{caseOf(r), r.Show("limit_ms"), torch, ggml, r.Show("step_ms_median"),
			r.Show("limit_fraction"), ratio(r, torch, ggml)})
	}
	_, err = fmt.Fprintln(w, t.Render())
	return err
}

// readRows reads the rows of a folder; a line that is no row names itself.
func readRows(file string) (rows []bench.Row, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var r bench.Row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", file, n, err)
		}
		rows = append(rows, r)
	}
	return rows, lines.Err()
}

func caseOf(r bench.Row) string {
	name := fmt.Sprintf("%s: %d experts %d × %d %s %s, %d tokens, top-%d",
		r.Mode, r.Experts, r.DModel, r.DHidden, r.Form, r.DType, r.Tokens, r.TopK)
	if r.Layers > 1 {
		name = fmt.Sprintf("%d layers, %s", r.Layers, name)
	}
	return name
}

// ratio is how many times the best peer's time UFM's fits into.
func ratio(r bench.Row, answers ...answer) string {
	best := 0.0
	for _, a := range answers {
		if a.ms > 0 && (best == 0 || a.ms < best) {
			best = a.ms
		}
	}
	if best == 0 || r.StepMsMedian == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", best / *r.StepMsMedian)
}

// peerLimit ends a peer that hangs.
const peerLimit = 5 * time.Minute
