package report

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"ufm/bench"
)

// figure is one plot in both colour schemes.
type figure struct {
	Name     string // of its files
	Title    string
	Light    []byte // SVG
	Dark     []byte
	inPreset string
}

// drawing makes a group's plot; nil where the group has nothing to show in it.
type drawing struct {
	name, title string
	draw        func(g group, t theme, title string) (*plot.Plot, error)
}

var drawings = []drawing{
	{"throughput", "Throughput against the number of experts", drawThroughput},
	{"memory", "Peak device memory against the size of the bank", drawMemory},
	{"roofline", "Each step against the least time that the ceilings allow", drawRoofline},
	{"hits", "Hit rate against the budget, with Belady's bound", drawHits},
	{"budget", "Throughput against the budget", drawBudget},
	{"tokens", "Throughput against the tokens of a step", drawTokens},
	{"time", "Where a step's time goes", drawTime},
}

const (
	plotWidth  = 6.4 * vg.Inch
	plotHeight = 4.2 * vg.Inch
)

// draw makes all plots of a folder and writes them to its folder plots.
func (r results) draw() (all []figure, err error) {
	dir := filepath.Join(r.dir, "plots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	for _, g := range r.groups() {
		for _, d := range drawings {
			f := figure{Name: g.preset + "-" + d.name, Title: d.title, inPreset: g.preset}
			for t, to := range map[*theme]*[]byte{&light: &f.Light, &dark: &f.Dark} {
				p, err := d.draw(g, *t, d.title)
				if err != nil {
					return nil, fmt.Errorf("report: plot %s: %w", f.Name, err)
				}
				if p == nil {
					continue
				}
				if *to, err = save(p, filepath.Join(dir, f.Name+t.name), t == &light); err != nil {
					return nil, fmt.Errorf("report: plot %s: %w", f.Name, err)
				}
			}
			if f.Light != nil {
				all = append(all, f)
			}
		}
	}
	return all, nil
}

// save writes a plot as SVG, and as PNG if asked to, and returns the SVG.
func save(p *plot.Plot, path string, png bool) ([]byte, error) {
	kinds := []string{"svg"}
	if png {
		kinds = append(kinds, "png")
	}
	var svg []byte
	for _, kind := range kinds {
		w, err := p.WriterTo(plotWidth, plotHeight, kind)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		_, err = w.WriteTo(&b)
		if kind == "svg" {
			svg = b.Bytes()
		}
		if err := errors.Join(err, os.WriteFile(path+"."+kind, b.Bytes(), 0o644)); err != nil {
			return nil, err
		}
	}
	return svg, nil
}

// lined is a plot of lines, or nil if there are none or too many to tell apart.
func lined(t theme, p *plot.Plot, all []series) (*plot.Plot, error) {
	if len(all) == 0 || len(all) > maxSeries {
		return nil, nil
	}
	err := t.draw(p, all)
	widen(p)
	makeRoom(&p.Y, len(all))
	return p, err
}

// drawThroughput has the published series beside ours, where the shapes are the same.
func drawThroughput(g group, t theme, title string) (*plot.Plot, error) {
	if !g.varies("experts") {
		return nil, nil
	}
	p := newPlot(t, title, "experts", "tokens/s")
	logY(p)
	all := g.lines("experts", column("tokens_per_s"))
	if g.isPublished() {
		all = append(all, publishedSeries()...)
	}
	return lined(t, p, all)
}

// publishedSeries are dashed: another program on another card.
func publishedSeries() []series {
	all := []series{
		{label: "resident, RTX 4090 as published", colour: modeColours["baseline"], dashed: true},
		{label: "naive, RTX 4090 as published", colour: modeColours["naive"], dashed: true},
		{label: "UFM v0.1.1, RTX 4090 as published", colour: modeColours["published"], dashed: true},
	}
	for _, point := range published {
		for i, v := range []float64{point.Resident, point.Naive, point.UFM} {
			if v > 0 {
				all[i].points = append(all[i].points, plotter.XY{X: float64(point.Experts), Y: v})
			}
		}
	}
	return all
}

func drawMemory(g group, t theme, title string) (*plot.Plot, error) {
	if !g.varies("bank_bytes") {
		return nil, nil
	}
	unit, scale := "MiB", 1<<20
	if g.rows[len(g.rows)-1].BankBytes > 2<<30 {
		unit, scale = "GiB", 1<<30
	}
	p := newPlot(t, title, "bank, "+unit, "peak device memory, "+unit)
	all := g.lines("bank_bytes", column("peak_device_bytes"))
	for _, s := range all {
		for i := range s.points {
			s.points[i].X /= float64(scale)
			s.points[i].Y /= float64(scale)
		}
	}
	p.Y.Min = 0
	return lined(t, p, all)
}

// drawRoofline puts each row where its limit and its time are; the diagonal is reached
// by what nothing could make faster.
func drawRoofline(g group, t theme, title string) (*plot.Plot, error) {
	p := newPlot(t, title, "limit, ms a step", "measured, ms a step")
	logX(p)
	logY(p)
	least, most := math.Inf(1), 0.0
	var all []series
	for _, r := range g.rows {
		if r.LimitMs == nil || *r.LimitMs <= 0 {
			continue
		}
		label := r.Mode + ", bound by " + *r.LimitBy
		i := slices.IndexFunc(all, func(s series) bool { return s.label == label })
		if i < 0 {
			i = len(all)
			all = append(all, series{label: label, colour: i})
		}
		all[i].points = append(all[i].points, plotter.XY{X: *r.LimitMs, Y: *r.StepMsMedian})
		least, most = min(least, *r.LimitMs), max(most, *r.StepMsMedian, *r.LimitMs)
	}
	if len(all) == 0 {
		return nil, nil
	}
	for i, s := range all {
		points, err := plotter.NewScatter(s.points)
		if err != nil {
			return nil, err
		}
		points.Color, points.Shape, points.Radius = t.colour(s.colour), shapes[i%len(shapes)], vg.Points(3.5)
		p.Add(points)
		p.Legend.Add(s.label, points)
	}
	diagonal, err := plotter.NewLine(plotter.XYs{{X: least, Y: least}, {X: most, Y: most}})
	if err != nil {
		return nil, err
	}
	diagonal.Color = t.fore
	p.Add(diagonal)
	p.Legend.Add("limit reached", diagonal)
	p.Legend.Left = true
	widen(p)
	makeRoom(&p.Y, len(all)+1)
	return p, nil
}

// paged are the rows whose pool had a choice.
func (g group) paged() group {
	var paged group
	for _, r := range g.rows {
		if r.Mode == "ufm" || r.Mode == "published" {
			paged.rows = append(paged.rows, r)
		}
	}
	return paged
}

func drawHits(g group, t theme, title string) (*plot.Plot, error) {
	paged := g.paged()
	if len(paged.rows) == 0 || g.varies("bank_bytes") || !paged.varies("budget_bytes") {
		return nil, nil
	}
	p := newPlot(t, title, "slots", "hits of accesses, %")
	all := paged.lines("slots", func(r bench.Row) (float64, bool) { return hitRate(r, r.Misses) })
	for _, s := range paged.lines("slots", func(r bench.Row) (float64, bool) { return hitRate(r, r.BeladyUploads) }) {
		s.label, s.dashed, s.colour = "belady, on what "+s.label+" was asked", true, len(modeColours)+s.colour
		all = append(all, s)
	}
	return lined(t, p, all)
}

// hitRate is the percentage that is left of the accesses without some misses.
func hitRate(r bench.Row, misses *int64) (float64, bool) {
	if r.Hits == nil || misses == nil || *r.Hits+*r.Misses == 0 {
		return 0, false
	}
	return 100 * (1 - float64(*misses)/float64(*r.Hits+*r.Misses)), true
}

func drawBudget(g group, t theme, title string) (*plot.Plot, error) {
	paged := g.paged()
	if len(paged.rows) == 0 || g.varies("bank_bytes") || !paged.varies("budget_bytes") {
		return nil, nil
	}
	p := newPlot(t, title, "slots", "tokens/s")
	logY(p)
	all := paged.lines("slots", column("tokens_per_s"))
	for _, s := range paged.lines("slots", limitSpeed) {
		s.label, s.dashed, s.colour = "limit of "+s.label, true, len(modeColours)+s.colour
		all = append(all, s)
	}
	return lined(t, p, all)
}

// limitSpeed is what the best policy could reach at the measured ceilings.
func limitSpeed(r bench.Row) (float64, bool) {
	if r.LimitMs == nil || *r.LimitMs <= 0 {
		return 0, false
	}
	return float64(r.Tokens) * 1000 / *r.LimitMs, true
}

func drawTokens(g group, t theme, title string) (*plot.Plot, error) {
	if !g.varies("tokens") {
		return nil, nil
	}
	p := newPlot(t, title, "tokens of a step", "tokens/s")
	logX(p)
	logY(p)
	p.Legend.Left = true
	return lined(t, p, g.lines("tokens", column("tokens_per_s")))
}
