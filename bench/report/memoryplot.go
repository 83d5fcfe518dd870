package report

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"

	"ufm/bench"
)

// drawMemory has the peaks, and what is known besides them: the budget and the limit that
// were set, and which cells ran out of memory. Those stand at the size of their bank, which
// they would have needed at least.
func drawMemory(g group, t theme, title string) (*chart, error) {
	if !g.varies("bank_bytes") || g.varies("tokens") { // activations take memory, too
		return nil, nil
	}
	unit, scale := "MiB", float64(1<<20)
	if slices.ContainsFunc(g.rows, func(r bench.Row) bool { return r.BankBytes > 2<<30 }) {
		unit, scale = "GiB", 1<<30
	}
	c := newChart(t, title, "bank, "+unit, "peak device memory, "+unit)
	all := g.linesBy("bank_bytes", column("peak_device_bytes"), func(r bench.Row) string { return r.Mode })
	if len(all) == 0 {
		return nil, nil
	}
	for _, s := range all {
		for i := range s.points {
			s.points[i].X /= scale
			s.points[i].Y /= scale
		}
	}
	if err := c.lines(all); err != nil {
		return nil, err
	}
	least, most := g.span("bank_bytes")
	for _, l := range []struct {
		name, text string
		published  int64
	}{
		{"memory limit", g.common(func(i int) string { return g.cells[i].VRAMLimit }), publishedLimit},
		{"budget for experts", g.common(func(i int) string { return g.cells[i].Budget }), publishedBudget},
	} {
		bytes, err := bench.ParseSize(l.text)
		if err != nil {
			continue // not one for all, or a part of the bank
		}
		y := float64(bytes) / scale
		label := fmt.Sprintf("%s, %.4g %s", l.name, y, unit)
		if g.isPublished() && bytes == l.published {
			label += " (as published)"
		}
		if err := c.line(label, l.name != "memory limit",
			plotter.XY{X: least / scale, Y: y}, plotter.XY{X: most / scale, Y: y}); err != nil {
			return nil, err
		}
	}
	c.Y.Min = 0
	return c, g.drawFailed(c, scale)
}

// drawFailed marks what ran out of memory, here and as published.
func (g group) drawFailed(c *chart, scale float64) error {
	failed := map[string]plotter.XYs{}
	for _, r := range g.rows {
		if r.Status == bench.StatusOOM {
			bank := float64(r.BankBytes) / scale
			failed[r.Mode] = append(failed[r.Mode], plotter.XY{X: bank, Y: bank})
		}
	}
	for _, mode := range g.values("mode") {
		if len(failed[mode]) == 0 {
			continue
		}
		err := c.points(mode+": out of memory, at its bank's size", failed[mode],
			modeColours[mode], draw.CrossGlyph{})
		if err != nil {
			return err
		}
	}
	if !g.isPublished() {
		return nil
	}
	var as plotter.XYs
	for _, p := range published {
		if p.Resident == 0 {
			as = append(as, plotter.XY{X: p.bankGiB(), Y: p.bankGiB()})
		}
	}
	return c.points("resident, RTX 4090 as published: out of memory", as,
		modeColours["baseline"], draw.RingGlyph{})
}

// common is the value that all rows have, or "".
func (g group) common(value func(i int) string) string {
	for i := range g.rows {
		if value(i) != value(0) {
			return ""
		}
	}
	return value(0)
}

// span is the least and the most in a column.
func (g group) span(column string) (least, most float64) {
	for i, r := range g.rows {
		v, _ := r.Float(column)
		if i == 0 {
			least = v
		}
		least, most = min(least, v), max(most, v)
	}
	return least, most
}
