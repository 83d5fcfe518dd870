package report

import (
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"ufm/bench"
)

// maxBars is how many cells a plot of bars can name legibly.
const maxBars = 16

// drawTime shows what the queues did during a step, in percent of its time. Compute and
// uploads overlap, so that they may add up to more than the step.
func drawTime(g group, t theme, title string) (*plot.Plot, error) {
	rows := g.timed()
	if len(rows) == 0 {
		return nil, nil
	}
	p := newPlot(t, title, "% of the step's median time", "")
	parts := []struct{ label, column string }{
		{"compute", "compute_ms"}, {"upload", "upload_ms"}, {"stall: compute waits for an upload", "stall_ms"},
	}
	width := vg.Points(min(8, 200/float64(len(rows)*len(parts))))
	for i, part := range parts {
		bars, err := plotter.NewBarChart(shares(rows, part.column), width)
		if err != nil {
			return nil, err
		}
		bars.Horizontal = true
		bars.Color = t.colour(i)
		bars.LineStyle.Width = 0
		bars.Offset = width * vg.Length(1-i)
		p.Add(bars)
		p.Legend.Add(part.label, bars)
	}
	p.NominalY(g.names(rows)...)
	p.X.Min = 0
	p.X.Max = max(p.X.Max, 100) * 1.05
	p.Y.Min, p.Y.Max = -0.6, float64(len(rows))-0.4
	makeRoom(&p.Y, len(parts))
	return p, nil
}

// timed are the rows whose queues were timed, from the last to the first, since bars
// are stacked upwards.
func (g group) timed() []bench.Row {
	var rows []bench.Row
	for i := len(g.rows) - 1; i >= 0; i-- {
		r := g.rows[i]
		if r.ComputeMs != nil && r.UploadMs != nil && r.StallMs != nil && *r.StepMsMedian > 0 {
			rows = append(rows, r)
		}
	}
	if len(rows) > maxBars {
		return rows[len(rows)-maxBars:]
	}
	return rows
}

func shares(rows []bench.Row, column string) plotter.Values {
	values := make(plotter.Values, len(rows))
	for i, r := range rows {
		ms, _ := r.Float(column)
		values[i] = 100 * ms / *r.StepMsMedian
	}
	return values
}

// names tell the rows apart in few words.
func (g group) names(rows []bench.Row) []string {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Mode
		for _, c := range []struct{ column, format string }{
			{"layers", " %s layers"}, {"experts", " %s experts"}, {"dtype", " %s"},
			{"routing", " %s"}, {"tokens", " %s tokens"}, {"slots", " %s slots"}, {"policy", " %s"},
		} {
			if c.column == "slots" && g.varies("experts") || c.column == "policy" && g.varies("mode") {
				continue
			}
			if g.varies(c.column) {
				names[i] += fmt.Sprintf(c.format, r.Show(c.column))
			}
		}
	}
	return names
}
