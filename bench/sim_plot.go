package bench

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"ufm/sim"
)

// The figure's colours: those of Okabe and Ito, which most eyes tell apart.
var lineColours = []color.Color{
	color.RGBA{0, 114, 178, 255}, color.RGBA{213, 94, 0, 255}, color.RGBA{0, 158, 115, 255},
	color.RGBA{204, 121, 167, 255}, color.RGBA{230, 159, 0, 255}, color.RGBA{86, 180, 233, 255},
	color.RGBA{90, 90, 90, 255},
}

// PlotSim draws the hit rate against the pool's size, a figure for each trace, as SVG
// and PNG into folder dir, and returns the files' paths. The band between lru and the
// bound is shaded where the rows have both; a line marks one token cycle. The same rows
// give the same bytes.
func PlotSim(dir string, traces []sim.Source, rows []sim.Row) (files []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("bench: plots: %w", err)
	}
	for _, source := range traces {
		p, err := hitRatePlot(source, rowsOf(source.Name, rows))
		if err != nil {
			return files, fmt.Errorf("bench: plot of %s: %w", source.Name, err)
		}
		for _, kind := range []string{".svg", ".png"} {
			path := filepath.Join(dir, "hit-rate-"+fileName(source.Name)+kind)
			if err := p.Save(18*vg.Centimeter, 11*vg.Centimeter, path); err != nil {
				return files, fmt.Errorf("bench: plot of %s: %w", source.Name, err)
			}
			files = append(files, path)
		}
	}
	return files, nil
}

// rowsOf are a trace's rows.
func rowsOf(trace string, rows []sim.Row) []sim.Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r sim.Row) bool { return r.Trace != trace })
}

// fileName is a trace's name without what separates folders.
func fileName(trace string) string {
	return strings.Trim(strings.NewReplacer("/", "-", "\\", "-").Replace(trace), "-.")
}

func hitRatePlot(source sim.Source, rows []sim.Row) (*plot.Plot, error) {
	if len(rows) == 0 {
		return nil, errors.New("no rows")
	}
	p := plot.New()
	p.Title.Text = source.Name
	p.X.Label.Text = "slots"
	p.Y.Label.Text = "hit rate (%)"
	p.Y.Min, p.Y.Max = 0, 100
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, powersOfTwo{}
	p.Legend.Top, p.Legend.Left = true, true
	curves, order := byPolicy(rows)
	if err := addBand(p, curves); err != nil {
		return nil, err
	}
	t := source.Trace
	if err := addCycle(p, t.Layers*t.TopK); err != nil {
		return nil, err
	}
	for i, policy := range order {
		line, err := plotter.NewLine(curves[policy])
		if err != nil {
			return nil, err
		}
		line.Color = lineColours[i%len(lineColours)]
		line.Width = vg.Points(1.5)
		if i >= len(lineColours) {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(2)}
		}
		p.Add(line)
		p.Legend.Add(policy, line)
	}
	p.Add(plotter.NewGrid())
	return p, nil
}

// byPolicy makes a curve of each policy's rows, which ascend in slots.
func byPolicy(rows []sim.Row) (curves map[string]plotter.XYs, order []string) {
	curves = map[string]plotter.XYs{}
	for _, r := range rows {
		if curves[r.Policy] == nil {
			order = append(order, r.Policy)
		}
		at := plotter.XY{X: float64(r.Slots), Y: 100 * r.HitRate}
		curves[r.Policy] = append(curves[r.Policy], at)
	}
	return curves, order
}

// addBand shades what lies between lru and the bound: what a better policy could win.
func addBand(p *plot.Plot, curves map[string]plotter.XYs) error {
	low, high := curves["lru"], curves["belady"]
	if high == nil {
		high = curves["min"]
	}
	if len(low) < 2 || len(low) != len(high) {
		return nil
	}
	back := slices.Clone(low)
	slices.Reverse(back)
	band, err := plotter.NewPolygon(slices.Concat(high, back))
	if err != nil {
		return err
	}
	band.Color = color.RGBA{225, 235, 245, 255}
	band.LineStyle.Width = 0
	p.Add(band)
	p.Legend.Add("from lru to the bound", band)
	return nil
}

// addCycle marks one token cycle: with fewer slots lru hits nothing when it decodes.
func addCycle(p *plot.Plot, cycle int) error {
	x := float64(cycle)
	line, err := plotter.NewLine(plotter.XYs{{X: x, Y: 0}, {X: x, Y: 100}})
	if err != nil {
		return err
	}
	line.Color = color.Gray{120}
	line.Dashes = []vg.Length{vg.Points(2), vg.Points(2)}
	label, err := plotter.NewLabels(plotter.XYLabels{
		XYs: plotter.XYs{{X: x, Y: 1}}, Labels: []string{fmt.Sprintf(" token cycle: %d", cycle)},
	})
	if err != nil {
		return err
	}
	label.TextStyle[0].Color = color.Gray{90}
	label.TextStyle[0].YAlign = draw.YBottom
	p.Add(line, label)
	return nil
}

// powersOfTwo are the ticks of an axis of slots.
type powersOfTwo struct{}

// Ticks makes powersOfTwo a plot.Ticker.
func (powersOfTwo) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for v := 1.0; v <= high; v *= 2 {
		if v >= low {
			ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%.0f", v)})
		}
	}
	if len(ticks) < 2 {
		return plot.LogTicks{}.Ticks(low, high)
	}
	return ticks
}
