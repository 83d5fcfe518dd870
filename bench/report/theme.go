package report

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// theme is a colour scheme. Series are told apart by shapes and dashes, too.
type theme struct {
	name             string // after the plot's name in files
	back, fore, grid color.RGBA
	series           []color.RGBA
}

func rgb(v uint32) color.RGBA {
	return color.RGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 255}
}

var light = theme{
	name: "", back: rgb(0xffffff), fore: rgb(0x1f2328), grid: rgb(0xd8dee4),
	series: []color.RGBA{
		rgb(0x0b62c4), rgb(0xc4490b), rgb(0x1a7f37), rgb(0x8250df), rgb(0xb08800), rgb(0x0e8a8a),
		rgb(0xbf3989), rgb(0x57606a),
	},
}

var dark = theme{
	name: "-dark", back: rgb(0x0d1117), fore: rgb(0xe6edf3), grid: rgb(0x30363d),
	series: []color.RGBA{
		rgb(0x6cb6ff), rgb(0xf69d50), rgb(0x6bc46d), rgb(0xdcbdfb), rgb(0xeac55f), rgb(0x39c5cf),
		rgb(0xfc8dc7), rgb(0xadbac7),
	},
}

// modes have the same colour in every plot.
var modeColours = map[string]int{"ufm": 0, "published": 1, "baseline": 2, "naive": 3}

func (t theme) colour(i int) color.RGBA { return t.series[i%len(t.series)] }

// newChart is an empty chart in the colours of a theme.
func newChart(t theme, title, x, y string) *chart {
	p := plot.New()
	p.BackgroundColor = t.back
	p.Title.Text = title
	p.Title.Padding = vg.Points(8)
	for _, style := range []*draw.TextStyle{
		&p.Title.TextStyle, &p.X.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label,
		&p.Legend.TextStyle,
	} {
		style.Color = t.fore
		style.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(12)}
	}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Tick.Marker = plainTicks{}
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = t.fore, t.fore
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = t.grid, t.grid
	p.Add(grid)
	return &chart{Plot: p, theme: t, xName: x, yName: y, height: chartHeight}
}
