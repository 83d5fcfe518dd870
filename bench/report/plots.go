package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot/plotter"

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

// drawing makes a group's chart; nil where the group has nothing to show in it.
type drawing struct {
	name, title string
	draw        func(g group, t theme, title string) (*chart, error)
}

var drawings = []drawing{
	{"throughput", "Throughput against the number of experts", drawThroughput},
	{"layers", "Throughput against the number of layers", drawLayers},
	{"memory", "Peak device memory against the size of the bank", drawMemory},
	{"roofline", "Each step against the least time that the ceilings allow", drawRoofline},
	{"hits", "Hit rate against the budget, with Belady's bound", drawHits},
	{"choices", "Hit rate, with Belady's bound", drawChoices},
	{"budget", "Throughput against the budget", drawBudget},
	{"tokens", "Throughput against the tokens of a step", drawTokens},
	{"time", "Where a step's time goes", drawTime},
	{"prediction", "Prediction (modeled) against measurement", drawPrediction},
}

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
				c, err := d.draw(g, *t, d.title)
				if err != nil {
					return nil, fmt.Errorf("report: plot %s: %w", f.Name, err)
				}
				if c == nil {
					continue
				}
				if *to, err = c.save(filepath.Join(dir, f.Name+t.name), t == &light); err != nil {
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

// lined is a chart with lines, or nil if there are none or too many to tell apart, or if
// most are single points: of cells that differ in more than the axis.
func lined(c *chart, all []series) (*chart, error) {
	points := 0
	for _, s := range all {
		if s.points[0].X == s.points[len(s.points)-1].X {
			points++
		}
	}
	if len(all) == 0 || len(all) > maxSeries || len(all) > 2 && 2*points > len(all) {
		return nil, nil
	}
	err := c.lines(all)
	c.widen()
	return c, err
}

// drawThroughput has the published series beside ours, where the shapes are the same.
func drawThroughput(g group, t theme, title string) (*chart, error) {
	if !g.varies("experts") {
		return nil, nil
	}
	c := newChart(t, title, "experts", "tokens/s")
	c.logY()
	all := g.lines("experts", column("tokens_per_s"))
	if g.isPublished() {
		all = append(all, publishedSeries()...)
	}
	return lined(c, all)
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

func drawLayers(g group, t theme, title string) (*chart, error) {
	if g.varies("experts") || !g.varies("layers") {
		return nil, nil
	}
	c := newChart(t, title, "layers", "tokens/s")
	c.logY()
	return lined(c, g.lines("layers", column("tokens_per_s")))
}

// drawRoofline puts each row where its limit and its time are; the diagonal is reached
// by what nothing could make faster.
func drawRoofline(g group, t theme, title string) (*chart, error) {
	return scattered(newChart(t, title, "limit, ms a step", "measured, ms a step"), g.rows,
		"limit reached", func(r bench.Row) (at plotter.XY, label string, ok bool) {
			if r.LimitMs == nil || *r.LimitMs <= 0 {
				return at, "", false
			}
			return plotter.XY{X: *r.LimitMs, Y: stepMs(r)}, r.Mode + ", limit set by " + *r.LimitBy, true
		})
}

// drawPrediction puts each row where it was measured and where the simulator's clock has
// it; on the diagonal they agree.
func drawPrediction(g group, t theme, title string) (*chart, error) {
	modeled := map[int]bench.Row{}
	for i, r := range g.modeled {
		if r.Status == bench.StatusOK {
			modeled[i] = r
		}
	}
	i := -1
	return scattered(newChart(t, title, "measured, ms a step", "modeled, ms a step"), g.rows,
		"modeled = measured", func(r bench.Row) (at plotter.XY, label string, ok bool) {
			i++
			m, ok := modeled[i]
			if !ok {
				return at, "", false
			}
			return plotter.XY{X: *r.StepMsMedian, Y: *m.StepMsMedian}, r.Mode, true
		})
}

// scattered is a chart of rows on two logarithmic axes with their diagonal; nil without
// rows. Modes keep their colours; labels have a shape each.
func scattered(
	c *chart, rows []bench.Row, diagonal string, place func(bench.Row) (plotter.XY, string, bool),
) (*chart, error) {
	c.logX()
	c.logY()
	var labels []string
	points, colours := map[string]plotter.XYs{}, map[string]int{}
	least, most := math.Inf(1), 0.0
	for _, r := range rows {
		at, label, ok := place(r)
		if !ok {
			continue
		}
		if points[label] == nil {
			labels = append(labels, label)
			colours[label] = modeColours[r.Mode]
		}
		points[label] = append(points[label], at)
		least, most = min(least, at.X, at.Y), max(most, at.X, at.Y)
	}
	if len(labels) == 0 {
		return nil, nil
	}
	if err := c.line(diagonal, false, plotter.XY{X: least, Y: least}, plotter.XY{X: most, Y: most}); err != nil {
		return nil, err
	}
	for i, label := range labels {
		if err := c.points(label, points[label], colours[label], shapes[i%len(shapes)]); err != nil {
			return nil, err
		}
	}
	c.widen()
	return c, nil
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

func drawHits(g group, t theme, title string) (*chart, error) {
	paged := g.paged()
	if len(paged.rows) == 0 || g.varies("bank_bytes") || !paged.varies("budget_bytes") {
		return nil, nil
	}
	c := newChart(t, title, "slots", "hits of accesses, %")
	all := paged.lines("slots", func(r bench.Row) (float64, bool) { return hitRate(r, r.Misses) })
	for _, s := range paged.lines("slots", func(r bench.Row) (float64, bool) { return hitRate(r, r.BeladyUploads) }) {
		s.label, s.dashed, s.colour = "belady, on what "+s.label+" was asked", true, len(modeColours)+s.colour
		all = append(all, s)
	}
	return lined(c, all)
}

// hitRate is the percentage that is left of the accesses without some misses.
func hitRate(r bench.Row, misses *int64) (float64, bool) {
	if r.Hits == nil || misses == nil || *r.Hits+*r.Misses == 0 {
		return 0, false
	}
	return 100 * (1 - float64(*misses)/float64(*r.Hits+*r.Misses)), true
}

func drawBudget(g group, t theme, title string) (*chart, error) {
	paged := g.paged()
	if len(paged.rows) == 0 || g.varies("bank_bytes") || !paged.varies("budget_bytes") {
		return nil, nil
	}
	c := newChart(t, title, "slots", "tokens/s")
	c.logY()
	all := paged.lines("slots", column("tokens_per_s"))
	for _, s := range paged.lines("slots", limitSpeed) {
		s.label, s.dashed, s.colour = "limit of "+s.label, true, len(modeColours)+s.colour
		all = append(all, s)
	}
	return lined(c, all)
}

// limitSpeed is what the best policy could reach at the measured ceilings.
func limitSpeed(r bench.Row) (float64, bool) {
	if r.LimitMs == nil || *r.LimitMs <= 0 {
		return 0, false
	}
	return float64(r.Tokens) * 1000 / *r.LimitMs, true
}

func drawTokens(g group, t theme, title string) (*chart, error) {
	if !g.varies("tokens") {
		return nil, nil
	}
	c := newChart(t, title, "tokens of a step", "tokens/s")
	c.logX()
	c.logY()
	return lined(c, g.lines("tokens", column("tokens_per_s")))
}
