package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"ufm/bench"
)

// WriteGoBench writes the steps of folders in Go's benchmark format, each with the key
// run: benchstat -col run compares them.
func WriteGoBench(w io.Writer, dirs ...string) error {
	for _, dir := range dirs {
		r, err := load(dir)
		if err != nil {
			return err
		}
		if err := writeGoBench(w, r); err != nil {
			return err
		}
	}
	return nil
}

// maxGoBench is how many steps of a row are written, evenly spread: enough for benchstat.
const maxGoBench = 50

func writeGoBench(w io.Writer, r results) error {
	b := bufio.NewWriter(w)
	m := r.env.Machine
	fmt.Fprintf(b, "run: %s\nbackend: %s\ndevice: %s\ndriver: %s\ncpu: %s\npkg: ufm/bench\n",
		r.dir, m.Backend, m.Device.Name, m.Device.Driver, m.Host.CPU)
	for i, row := range r.rows {
		if row.StepMsMedian == nil {
			continue
		}
		name := goBenchName(r.plan.Cells[i].Preset, row)
		steps := r.samples[i]
		if steps == nil {
			steps = []float64{*row.StepMsMedian}
		}
		for i := range min(len(steps), maxGoBench) {
			ms := steps[i*len(steps)/min(len(steps), maxGoBench)]
			fmt.Fprintf(b, "%s 1 %.0f ns/op %.6g tok/s\n", name, ms*1e6, float64(row.Tokens)*1000/ms)
		}
	}
	fmt.Fprintln(b)
	return b.Flush()
}

// goBenchName has a key for all that was asked, as benchstat filters by.
func goBenchName(preset string, r bench.Row) string {
	name := "BenchmarkStep/preset=" + preset
	for _, c := range []string{
		"mode", "layers", "experts", "d_model", "d_hidden", "top_k", "form", "dtype", "routing",
		"tokens", "policy", "slots",
	} {
		name += "/" + c + "=" + strings.ReplaceAll(strings.ReplaceAll(r.Show(c), ",", ""), " ", "_")
	}
	return name
}
