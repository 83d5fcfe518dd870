package bench

import (
	"fmt"
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
)

// show writes a figure for people, or that it is not known.
func show[T any](v *T, write func(T) string) string {
	if v == nil {
		return unknown
	}
	return write(*v)
}

func integer[T int | int64](n T) string { return humanize.Comma(int64(n)) }

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

func percent(fraction float64) string { return figure(100*fraction) + " %" }

func scientific(v float64) string { return fmt.Sprintf("%.1e", v) }

func same(s string) string { return s }

// figure has three significant digits, or all before the point.
func figure(v float64) string {
	if math.Abs(v) >= 1000 {
		return humanize.Comma(int64(math.Round(v)))
	}
	digits := 0 // after the point
	if v != 0 {
		digits = max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}
