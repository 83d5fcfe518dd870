package bench

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"

	"ufm/internal/hardware"
	"ufm/moe"
	"ufm/pager"
	"ufm/sim"
)

// The tables of docs/simulator.md come from here: go test ./bench -run SimulatorPage -update
// writes them, without -update the page must have them.
const simulatorPage = "../docs/simulator.md"

func TestSimulatorPage(t *testing.T) {
	page, err := os.ReadFile(simulatorPage)
	if err != nil {
		t.Fatal(err)
	}
	want := page
	for name, text := range map[string]string{
		"published": publishedTable(t),
		"h100": predictedTable(t, "../results/2026-11-27-h100-3/rows.jsonl",
			[]string{"../results/2026-11-27-h100-3/hardware.json"}, 0.05, judged),
		"vulkan": recordedTable(t, "vulkan"),
		"cpu":    recordedTable(t, "cpu"),
	} {
		want = replaceTable(t, want, name, text)
	}
	if *update {
		if err := os.WriteFile(simulatorPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(page, want) {
		t.Errorf("%s has other tables than the simulator gives: go test ./bench "+
			"-run SimulatorPage -update", simulatorPage)
	}
}

// replaceTable puts text between a table's marks.
func replaceTable(t *testing.T, page []byte, name, text string) []byte {
	t.Helper()
	head, rest, ok := bytes.Cut(page, []byte("<!-- table "+name+" -->\n"))
	_, tail, end := bytes.Cut(rest, []byte("<!-- end -->\n"))
	if !ok || !end {
		t.Fatalf("%s: no marks for table %s", simulatorPage, name)
	}
	return bytes.Join([][]byte{
		head, []byte("<!-- table " + name + " -->\n" + text + "<!-- end -->\n"), tail,
	}, nil)
}

// The published figures of the original: tokens a second on an RTX 4090, and the cells
// that its link decides.
var publishedRows = []struct {
	experts       int
	resident, ufm float64 // 0: out of memory
}{
	{96, 21017, 21174}, {144, 14374, 50}, {192, 0, 37},
}

// publishedTable sets the published figures beside the time model's, in mode published.
func publishedTable(t *testing.T) string {
	card, err := hardware.Open("rtx4090")
	if err != nil {
		t.Fatal(err)
	}
	fitted := card
	fitted.ReadGBs = fit(func(rate float64) float64 {
		card := card
		card.ReadGBs = rate
		return math.Log(publishedSpeed(t, card, 96, true)/publishedRows[0].resident) +
			math.Log(publishedSpeed(t, card, 144, true)/publishedRows[1].resident)
	})
	fitted.LinkGBs = fit(func(rate float64) float64 {
		card := fitted
		card.LinkGBs = rate
		return math.Log(publishedSpeed(t, card, 144, false)/publishedRows[1].ufm) +
			math.Log(publishedSpeed(t, card, 192, false)/publishedRows[2].ufm)
	})
	var b strings.Builder
	fmt.Fprintf(&b, "| experts | resident: published | fitted, read %.0f GB/s | predicted, read %.0f GB/s | "+
		"UFM v0.1.1: published | fitted, link %.2f GB/s | predicted, link %.1f GB/s |\n",
		fitted.ReadGBs, card.ReadGBs, fitted.LinkGBs, card.LinkGBs)
	b.WriteString("|---|---|---|---|---|---|---|\n")
	for _, r := range publishedRows {
		cells := []string{"OOM", "-", "-"}
		if r.resident > 0 {
			cells = []string{
				whole(r.resident), whole(publishedSpeed(t, fitted, r.experts, true)),
				whole(publishedSpeed(t, card, r.experts, true)),
			}
		}
		cells = append(cells, whole(r.ufm), whole(publishedSpeed(t, fitted, r.experts, false)),
			whole(publishedSpeed(t, card, r.experts, false)))
		fmt.Fprintf(&b, "| %d | %s |\n", r.experts, strings.Join(cells, " | "))
		model := publishedSpeed(t, fitted, r.experts, false)
		if off := math.Abs(model/r.ufm - 1); off > 0.15 {
			t.Errorf("%d experts: fitted to %.0f tok/s, published are %.0f", r.experts, model, r.ufm)
		}
	}
	return b.String()
}

func whole(v float64) string { return humanize.Comma(int64(math.Round(v))) }

// fit finds the rate at which f, which grows with it, is zero.
func fit(f func(rate float64) float64) float64 {
	low, high := 0.01, 10000.0
	for range 60 {
		middle := math.Sqrt(low * high)
		if f(middle) < 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return math.Sqrt(low * high)
}

// publishedSpeed is the modeled speed of the published benchmark's layer with 16 GiB for
// experts, or with all of them resident.
func publishedSpeed(t *testing.T, card hardware.Ceilings, experts int, resident bool) float64 {
	t.Helper()
	r := Row{
		Mode: moe.Published.String(), Layers: 1, Experts: experts, DModel: 2048, DHidden: 8192,
		TopK: 2, Form: "gelu", DType: "f32", Tokens: 512, Routing: "uniform", Seed: 1, Steps: new(20),
	}
	w, err := newWorkload(&r)
	if err != nil {
		t.Fatal(err)
	}
	slots := int((16 << 30) / w.shape.ExpertBytes())
	opts := sim.Options{
		Slots: min(slots, experts), Policy: "lru", Order: pager.Ascending,
		From: w.from, Tokens: w.tokens, Rows: w.rows, Machine: Machine(w.shape, card),
	}
	if resident {
		opts.Slots, opts.Order, opts.Resident = experts, pager.ResidentFirst, true
	}
	result, err := sim.Replay(w.shape.Paging(), w.groups, opts)
	if err != nil {
		t.Fatal(err)
	}
	return float64(r.Tokens**r.Steps) / result.Times.Total() * 1e9
}

// recordedTable is that of a backend of which scripts/simulator.sh has left a record: runs, and
// measurements of the device before, between and after them.
func recordedTable(t *testing.T, backend string) string {
	const folder = "../results/simulator/"
	devices, err := filepath.Glob(folder + backend + "*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(devices) == 0 {
		return "Not recorded yet: it takes an idle machine.\n"
	}
	all := func(Prediction) bool { return true }
	return predictedTable(t, folder+backend+".runs.jsonl", devices, 0.15, all)
}

// fastest keeps the fastest run of each cell, in the order of their first runs: others
// were slowed down by whatever else the machine did.
func fastest(rows []Row) []Row {
	type cell struct {
		mode, form, dtype                                  string
		layers, experts, dModel, dHidden, topK, tok, slots int
	}
	at := map[cell]int{}
	var kept []Row
	for _, r := range rows {
		key := cell{r.Mode, r.Form, r.DType, r.Layers, r.Experts, r.DModel, r.DHidden, r.TopK,
			r.Tokens, r.Slots}
		i, known := at[key]
		switch {
		case !known:
			at[key] = len(kept)
			kept = append(kept, r)
		case r.StepMsMedian != nil && kept[i].StepMsMedian != nil &&
			*r.StepMsMedian < *kept[i].StepMsMedian:
			kept[i] = r
		}
	}
	return kept
}

// fastestPredictions are those of the measurement of the device that has each cell fastest:
// the others were disturbed where it matters to the cell. A cell's figures all come from one.
func fastestPredictions(t *testing.T, rows []Row, devices []string) (best []Prediction) {
	for _, path := range devices {
		c, err := hardware.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		list := Predict(rows, c)
		if best == nil {
			best = list
			continue
		}
		for i, p := range list {
			if p.PredictedMs != nil && *p.PredictedMs < *best[i].PredictedMs {
				best[i] = p
			}
		}
	}
	return best
}

// judged reports whether a row's cell is of the shapes by which the pager is judged on GPUs.
// Those of several layers, and of f16, are shown but not held to the same: see the page.
func judged(p Prediction) bool {
	return p.Tokens == 512 && (p.Layers == 1 && p.DHidden == 8192 || p.Layers == 12 && p.DHidden == 2048)
}

// predictedTable sets measured rows beside predictions, those of cells that page and that are
// to be shown. There must be some: a page must not lose what was recorded.
func predictedTable(
	t *testing.T, path string, devices []string, within float64, shown func(Prediction) bool,
) string {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := ReadRows(f, path)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| mode | experts | dtype | slots | uploads: measured | replayed | " +
		"ms a step: measured | predicted | error |\n|---|---|---|---|---|---|---|---|---|\n")
	written := 0
	for _, p := range fastestPredictions(t, fastest(rows), devices) {
		if p.Error == nil || p.Slots == p.Layers*p.Experts || !shown(p) {
			continue
		}
		// A policy that has changed since the rows were recorded decides otherwise: then
		// the two times are not of the same work.
		same := math.Abs(float64(*p.Replayed)/float64(*p.Uploads)-1) < 0.01
		if p.DType != "f16" && same && math.Abs(*p.Error) > within {
			t.Errorf("%s with %d experts of %s: predicted %.4g ms, measured %.4g: %s off",
				p.Mode, p.Experts, p.DType, *p.PredictedMs, *p.MeasuredMs, signedPercent(*p.Error))
		}
		fmt.Fprintf(&b, "| %s | %d × %d of %d × %d | %s | %d | %s | %s | %s | %s | %s |\n",
			p.Mode, p.Layers, p.Experts, p.DModel, p.DHidden, p.DType, p.Slots,
			integer(*p.Uploads), integer(*p.Replayed), figure(*p.MeasuredMs),
			figure(*p.PredictedMs), signedPercent(*p.Error))
		written++
	}
	if written == 0 {
		t.Fatalf("%s: %d rows are recorded and the table has none", path, len(rows))
	}
	return b.String()
}
