package report

import (
	"fmt"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"ufm/bench"
)

// maxBars is how many cells a chart of bars can name legibly.
const maxBars = 32

// bar is one of the bars that each row has.
type bar struct {
	label  string
	colour int
	value  func(bench.Row) float64
}

// drawTime shows what the queues did during a step, in percent of its time. Compute and
// uploads overlap, so that they may add up to more than the step.
func drawTime(g group, t theme, title string) (*chart, error) {
	share := func(column string) func(bench.Row) float64 {
		return func(r bench.Row) float64 {
			ms, _ := r.Float(column)
			return 100 * ms / stepMs(r)
		}
	}
	c, err := g.bars(t, title, "% of the step's time", isTimed, []bar{
		{"compute", 0, share("compute_ms")}, {"upload", 1, share("upload_ms")},
		{"stall: compute waits for an upload", 2, share("stall_ms")},
	})
	if c != nil {
		c.X.Max = max(c.X.Max, 100) * 1.02
	}
	return c, err
}

func isTimed(r bench.Row) bool {
	return r.ComputeMs != nil && r.UploadMs != nil && r.StallMs != nil && stepMs(r) > 0
}

// stepMs is the mean time of a step, as the parts of it are means; rows of an older
// program have a median only.
func stepMs(r bench.Row) float64 {
	switch {
	case r.StepMsMean != nil:
		return *r.StepMsMean
	case r.StepMsMedian != nil:
		return *r.StepMsMedian
	}
	return 0
}

// drawChoices shows the hit rates of what has no place on an axis: policies, routings.
func drawChoices(g group, t theme, title string) (*chart, error) {
	paged := g.paged()
	if !paged.varies("policy") && !paged.varies("routing") || paged.varies("budget_bytes") ||
		paged.varies("experts") || paged.varies("tokens") || paged.varies("dtype") {
		return nil, nil
	}
	hits := func(misses func(bench.Row) *int64) func(bench.Row) float64 {
		return func(r bench.Row) float64 {
			rate, _ := hitRate(r, misses(r))
			return rate
		}
	}
	return paged.bars(t, title, "hits of accesses, %", func(r bench.Row) bool {
		_, ok := hitRate(r, r.BeladyUploads)
		return ok
	}, []bar{
		{"measured", 0, hits(func(r bench.Row) *int64 { return r.Misses })},
		{"belady's bound on the same accesses", 7, hits(func(r bench.Row) *int64 { return r.BeladyUploads })},
	})
}

// bars is a chart with bars for each row that has figures, the first row on top.
func (g group) bars(
	t theme, title, axis string, known func(bench.Row) bool, parts []bar,
) (*chart, error) {
	var rows []bench.Row
	for _, r := range g.rows {
		if known(r) {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	if len(rows) > maxBars {
		title = fmt.Sprintf("%s (the first %d of %d cells)", title, maxBars, len(rows))
		rows = rows[:maxBars]
	}
	names := g.names(rows)
	n := len(rows)
	c := newChart(t, title, axis, "")
	const width = 5 // points
	for i, part := range parts {
		values, places := make(plotter.Values, n), make([]string, n)
		for j, r := range rows {
			values[n-1-j], places[n-1-j] = part.value(r), names[j] // bars are stacked upwards
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return nil, err
		}
		bars.Horizontal, bars.Color, bars.LineStyle.Width = true, t.colour(part.colour), 0
		bars.Offset = width * (vg.Length(len(parts)-1)/2 - vg.Length(i))
		c.Add(bars)
		c.explain(part.label, bars)
		c.NominalY(places...)
	}
	c.X.Min = 0
	c.Y.Min, c.Y.Max = -0.6, float64(n)-0.4
	c.height = 80 + vg.Length(n*(len(parts)*width+6))
	return c, nil
}

// nameColumns tell cells apart in words, where they vary.
var nameColumns = []struct{ column, one, many string }{
	{"layers", " 1 layer", " %s layers"}, {"experts", " 1 expert", " %s experts"},
	{"d_hidden", "", " hidden %s"}, {"form", "", " %s"}, {"dtype", "", " %s"},
	{"routing", "", " %s"}, {"tokens", " 1 token", " %s tokens"}, {"top_k", " top-1", " top-%s"},
	{"slots", " 1 slot", " %s slots"}, {"policy", "", " %s"},
}

// names tell the rows apart in few words.
func (g group) names(rows []bench.Row) []string {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Mode
		for _, c := range nameColumns {
			if c.column == "slots" && g.varies("experts") || c.column == "policy" && g.varies("mode") ||
				!g.varies(c.column) {
				continue
			}
			if v := r.Show(c.column); v == "1" {
				if c.column == "layers" && g.varies("experts") {
					continue // what most have
				}
				names[i] += c.one
			} else {
				names[i] += fmt.Sprintf(c.many, v)
			}
		}
	}
	return names
}
