package report

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
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
	var all []series
	for _, r := range g.rows {
		at, okX := r.Float(x)
		value, okY := y(r)
		if !okX || !okY || value < 0 || math.IsInf(value, 0) {
			continue
		}
		label := g.label(r, x)
		i := slices.IndexFunc(all, func(s series) bool { return s.label == label })
		if i < 0 {
			i = len(all)
			all = append(all, series{label: label, colour: g.colourOf(r, len(all))})
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
func (g group) colourOf(r bench.Row, i int) int {
	if g.label(r, "") == r.Mode || g.label(r, "tokens") == r.Mode {
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

// draw adds the lines to a plot.
func (t theme) draw(p *plot.Plot, all []series) error {
	for i, s := range all {
		line, points, err := plotter.NewLinePoints(s.points)
		if err != nil {
			return err
		}
		line.Width = vg.Points(1.6)
		line.Color, points.Color = t.colour(s.colour), t.colour(s.colour)
		points.Shape, points.Radius = shapes[i%len(shapes)], vg.Points(3.5)
		if s.dashed {
			line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		}
		p.Add(line, points)
		p.Legend.Add(s.label, line, points)
	}
	return nil
}
