package report

import (
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
	"gonum.org/v1/plot"
)

func logX(p *plot.Plot) { p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, logTicks{} }
func logY(p *plot.Plot) { p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, logTicks{} }

// logTicks name 1, 2 and 5 of each decade, so that an axis shorter than one has names,
// too; over many decades only the 1.
type logTicks struct{}

// Ticks are those between two values.
func (logTicks) Ticks(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	many := math.Log10(most/least) > 3
	for exponent := math.Floor(math.Log10(least)); math.Pow(10, exponent) <= most; exponent++ {
		for digit := 1.0; digit < 10; digit++ {
			v := digit * math.Pow(10, exponent)
			if v < least*0.999 || v > most*1.001 {
				continue
			}
			tick := plot.Tick{Value: v}
			if digit == 1 || !many && (digit == 2 || digit == 5) {
				tick.Label = tickLabel(v)
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// plainTicks are the library's, without zeros behind the point.
type plainTicks struct{}

// Ticks are those between two values.
func (plainTicks) Ticks(least, most float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(least, most)
	for i, tick := range ticks {
		if tick.Label != "" {
			ticks[i].Label = tickLabel(tick.Value)
		}
	}
	return ticks
}

func tickLabel(v float64) string {
	if v >= 1000 {
		return humanize.Comma(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// widen gives logarithmic axes a length. A single value has none, and the library's
// way to give it one leads below 0, where there are no logarithms.
func widen(p *plot.Plot) {
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		if _, logarithmic := a.Scale.(plot.LogScale); logarithmic && a.Max <= a.Min*1.0001 {
			a.Min, a.Max = a.Min/2, a.Max*2
		}
	}
}

// makeRoom raises an axis for a legend of so many lines at the top of the plot.
func makeRoom(a *plot.Axis, lines int) {
	part := min(0.6, 0.03+0.065*float64(lines))
	if _, logarithmic := a.Scale.(plot.LogScale); logarithmic {
		a.Min = a.Min / 1.1
		a.Max = a.Min * math.Pow(a.Max*1.1/a.Min, 1/(1-part))
		return
	}
	a.Max = a.Min + (a.Max-a.Min)/(1-part)
}
