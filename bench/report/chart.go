package report

import (
	"bytes"
	"errors"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// chart is a plot with its legend below, where it hides nothing.
//
//	┌─────────────────┐
//	│ title           │
//	│ │               │
//	│ │     plot      │
//	│ └────────────── │
//	│ ●─ key  ■─ key  │
//	└─────────────────┘
type chart struct {
	*plot.Plot
	theme        theme
	xName, yName string
	height       vg.Length // of the plot
	keys         []key
}

// key is a line of the legend.
type key struct {
	label string
	marks []plot.Thumbnailer
}

const (
	chartWidth  = 6.4 * vg.Inch
	chartHeight = 3.6 * vg.Inch
	chartMargin = 10 // points, on all sides: names of ticks stick out of a plot
	chartGap    = 6  // points, between plot and legend
	thumbnail   = 24 // points
)

// explain adds a line to the legend.
func (c *chart) explain(label string, marks ...plot.Thumbnailer) {
	c.keys = append(c.keys, key{label, marks})
}

// legend is the keys in as many lines as they take.
func (c *chart) legend(width vg.Length) (lines [][]key) {
	var x vg.Length
	for _, k := range c.keys {
		if w := c.widthOf(k); len(lines) == 0 || x+w > width {
			lines, x = append(lines, nil), 0
		}
		lines[len(lines)-1] = append(lines[len(lines)-1], k)
		x += c.widthOf(k)
	}
	return lines
}

// widthOf is what a key takes, with the room behind it.
func (c *chart) widthOf(k key) vg.Length {
	return thumbnail + c.Legend.TextStyle.Width("  "+k.label+"    ")
}

// render draws the chart in a format: svg or png.
func (c *chart) render(format string) ([]byte, error) {
	const lineHeight = 16 // points
	width := chartWidth - 2*chartMargin
	legend := c.legend(width)
	below := lineHeight*vg.Length(len(legend)) + chartGap
	canvas, err := draw.NewFormattedCanvas(chartWidth, c.height+below+2*chartMargin, format)
	if err != nil {
		return nil, err
	}
	all := draw.New(canvas)
	all.SetColor(c.BackgroundColor)
	all.Fill(all.Rectangle.Path())
	inner := draw.Crop(all, chartMargin, -chartMargin, chartMargin, -chartMargin)
	c.drawPlot(draw.Crop(inner, 0, 0, below, 0))
	for i, line := range legend {
		at := draw.Crop(inner, 0, 0, 0, 0)
		at.Max.Y = at.Min.Y + below - chartGap - lineHeight*vg.Length(i)
		for _, k := range line {
			l := plot.NewLegend()
			l.TextStyle, l.ThumbnailWidth, l.Top, l.Left = c.Legend.TextStyle, thumbnail, true, true
			l.Add(k.label, k.marks...)
			l.Draw(at)
			at.Min.X += c.widthOf(k)
		}
	}
	var b bytes.Buffer
	_, err = canvas.WriteTo(&b)
	return b.Bytes(), err
}

// drawPlot draws the plot with the names of its axes beside it. The library's own names
// are placed, on a logarithmic axis, where they push the plot aside.
func (c *chart) drawPlot(at draw.Canvas) {
	style := c.X.Label.TextStyle
	style.XAlign, style.YAlign = text.XCenter, text.YBottom
	const room = 18 // points
	if c.xName != "" {
		at.FillText(style, vg.Point{X: at.Center().X, Y: at.Min.Y + 4}, c.xName)
		at = draw.Crop(at, 0, 0, room, 0)
	}
	if c.yName != "" {
		style.Rotation, style.YAlign = math.Pi/2, text.YTop
		at.FillText(style, vg.Point{X: at.Min.X, Y: at.Center().Y}, c.yName)
		at = draw.Crop(at, room, 0, 0, 0)
	}
	c.Plot.Draw(at)
}

// save writes a chart as SVG, and as PNG if asked to, and returns the SVG.
func (c *chart) save(path string, png bool) ([]byte, error) {
	kinds := []string{"svg"}
	if png {
		kinds = append(kinds, "png")
	}
	var svg []byte
	for _, kind := range kinds {
		picture, err := c.render(kind)
		if kind == "svg" {
			svg = picture
		}
		if err := errors.Join(err, os.WriteFile(path+"."+kind, picture, 0o644)); err != nil {
			return nil, err
		}
	}
	return svg, nil
}
