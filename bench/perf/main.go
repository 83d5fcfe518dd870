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
// Both print JSON lines with ms_step. They run one after the other, on the same device. What
// they print is kept in FOLDER/peers.jsonl, with the number of its row from 0.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"ufm/bench"
	"ufm/bench/sweep"
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

func run(ctx context.Context, w io.Writer, folder string) (err error) {
	cases, err := readCases(folder)
	if err != nil {
		return err
	}
	record, err := os.Create(filepath.Join(folder, recordFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, record.Close()) }()
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"case", "limit ms", "PyTorch ms", "ggml ms", "UFM ms", "of limit", "best peer / UFM"})
	for i, c := range cases {
		torch, ggml := torchPeer.ask(ctx, c), ggmlPeer.ask(ctx, c)
		for _, a := range []answer{torch, ggml} {
			if err := a.record(record, i); err != nil {
				return err
			}
		}
		t.AppendRow(table.Row{caseOf(c.Row), c.Show("limit_ms"), torch, ggml, c.Show("step_ms_median"),
			c.Show("limit_fraction"), ratio(c.Row, torch, ggml)})
	}
	_, err = fmt.Fprintln(w, t.Render())
	return err
}

// testCase is a measured row, with the device memory that it was allowed.
type testCase struct {
	bench.Row
	memoryLimit int64 // 0: all
}

// readCases reads the rows of a folder. Where there is no plan, no limit is known.
func readCases(folder string) (cases []testCase, err error) {
	file := filepath.Join(folder, sweep.RowsFile)
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	rows, err := bench.ReadRows(f, file)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	plan, _, _, err := sweep.Open(folder)
	if err != nil {
		return nil, err
	}
	for i, r := range rows {
		c := testCase{Row: r}
		if i < len(plan.Cells) && plan.Cells[i].VRAMLimit != "" {
			if c.memoryLimit, err = bench.ParseSize(plan.Cells[i].VRAMLimit); err != nil {
				return nil, err
			}
		}
		cases = append(cases, c)
	}
	return cases, nil
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

// recordFile keeps what peers said, as they said it.
const recordFile = "peers.jsonl"

// peerLimit ends a peer that hangs.
const peerLimit = 5 * time.Minute
