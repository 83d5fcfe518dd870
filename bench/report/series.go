package report

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"ufm/bench"
)

// series is a line of a plot.
type series struct {
	label  string
	points plotter.XYs
	colour int
	dashed bool
}

// labelColumns tell the lines of a plot apart, where they vary.
var labelColumns = []string{
	"mode", "dtype", "layers", "d_model", "d_hidden", "top_k", "form", "routing", "tokens", "policy", "seed",
}

// maxSeries is how many lines can be told apart.
const maxSeries = 12

// lines are a group's values of y against x, a line for each combination of what else
// varies. Rows without a value leave a gap.
func (g group) lines(x string, y func(bench.Row) (float64, bool)) []series {
	return g.linesBy(x, y, func(r bench.Row) string { return g.label(r, x) })
}

// linesBy draws a line for each label.
func (g group) linesBy(
	x string, y func(bench.Row) (float64, bool), labelOf func(bench.Row) string,
) []series {
	var all []series
	for _, r := range g.rows {
		at, okX := r.Float(x)
		value, okY := y(r)
		if !okX || !okY || value < 0 || math.IsInf(value, 0) {
			continue
		}
		label := labelOf(r)
		i := slices.IndexFunc(all, func(s series) bool { return s.label == label })
		if i < 0 {
			i = len(all)
			all = append(all, series{label: label, colour: colourOf(r, label, len(all))})
		}
		all[i].points = append(all[i].points, plotter.XY{X: at, Y: value})
	}
	for _, s := range all {
		slices.SortStableFunc(s.points, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
	}
	return all
}

// label is the values that tell a row's line from others.
func (g group) label(r bench.Row, x string) string {
	parts := []string{r.Mode}
	for _, c := range labelColumns[1:] {
		if c != x && g.variesWithin(c, r.Mode) {
			parts = append(parts, r.Show(c))
		}
	}
	return strings.Join(parts, " ")
}

// variesWithin tells whether rows of one mode differ in a column.
func (g group) variesWithin(column, mode string) bool {
	var same group
	for _, r := range g.rows {
		if r.Mode == mode {
			same.rows = append(same.rows, r)
		}
	}
	return same.varies(column)
}

// colourOf keeps to a mode's colour where modes are all there is to tell apart.
func colourOf(r bench.Row, label string, i int) int {
	if label == r.Mode {
		return modeColours[r.Mode]
	}
	return i
}

// column is a y that stands in the rows.
func column(name string) func(bench.Row) (float64, bool) {
	return func(r bench.Row) (float64, bool) { return r.Float(name) }
}

var shapes = []draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{},
	draw.RingGlyph{}, draw.BoxGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{},
}

// lines adds lines to a chart.
func (c *chart) lines(all []series) error {
	for i, s := range all {
		line, points, err := plotter.NewLinePoints(s.points)
		if err != nil {
			return err
		}
		line.Width = vg.Points(1.6)
		line.Color, points.Color = c.theme.colour(s.colour), c.theme.colour(s.colour)
		points.Shape, points.Radius = shapes[i%len(shapes)], vg.Points(3.5)
		if s.dashed {
			line.Dashes = dashes
		}
		c.Add(line, points)
		c.explain(s.label, line, points)
	}
	return nil
}

var dashes = []vg.Length{vg.Points(5), vg.Points(3)}

// points adds one kind of marks to a chart.
func (c *chart) points(label string, at plotter.XYs, colour int, shape draw.GlyphDrawer) error {
	points, err := plotter.NewScatter(at)
	if err != nil {
		return err
	}
	points.Color, points.Shape, points.Radius = c.theme.colour(colour), shape, vg.Points(4)
	c.Add(points)
	c.explain(label, points)
	return nil
}

// line adds a straight line that is no series: a limit.
func (c *chart) line(label string, dashed bool, from, to plotter.XY) error {
	line, err := plotter.NewLine(plotter.XYs{from, to})
	if err != nil {
		return err
	}
	line.Color = c.theme.fore
	if dashed {
		line.Dashes = dashes
	}
	c.Add(line)
	c.explain(label, line)
	return nil
}
