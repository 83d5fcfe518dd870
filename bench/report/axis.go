package report

import (
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
	"gonum.org/v1/plot"
)

func (c *chart) logX() { c.X.Scale, c.X.Tick.Marker = plot.LogScale{}, logTicks{} }
func (c *chart) logY() { c.Y.Scale, c.Y.Tick.Marker = plot.LogScale{}, logTicks{} }

// logTicks name 1, 2 and 5 of each decade, so that an axis shorter than one has names,
// too; over many decades only the 1, on less than one all. A short piece of an axis has
// the plain ones.
type logTicks struct{}

// Ticks are those between two values.
func (logTicks) Ticks(least, most float64) []plot.Tick {
	decades := math.Log10(most / least)
	if decades < 0.5 {
		return plainTicks{}.Ticks(least, most)
	}
	var ticks []plot.Tick
	many, few := decades > 3, decades < 0.8
	for exponent := math.Floor(math.Log10(least)); math.Pow(10, exponent) <= most; exponent++ {
		for digit := 1.0; digit < 10; digit++ {
			v := digit * math.Pow(10, exponent)
			if v < least*0.999 || v > most*1.001 {
				continue
			}
			tick := plot.Tick{Value: v}
			if digit == 1 || few || !many && (digit == 2 || digit == 5) {
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

// widen gives logarithmic axes a length, and a little room around what is drawn. A single
// value has no length, and the library's way to give it one leads below 0, where there
// are no logarithms.
func (c *chart) widen() {
	for _, a := range []*plot.Axis{&c.X, &c.Y} {
		if _, logarithmic := a.Scale.(plot.LogScale); !logarithmic {
			continue
		}
		if a.Max <= a.Min*1.0001 {
			a.Min, a.Max = a.Min/2, a.Max*2
		}
		room := math.Pow(a.Max/a.Min, 0.04)
		a.Min, a.Max = a.Min/room, a.Max*room
	}
}
