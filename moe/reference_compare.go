package moe

import (
	"fmt"
	"math"
)

// Difference is how far computed rows are from what they should be. Values that are
// not finite make it infinite.
type Difference struct {
	NMSE      float64 // Σ(got-want)² / Σ want²
	MaxAbs    float64 // max |got-want|
	TokenNMSE float64 // the largest NMSE of a single row
	Token     int     // the row that has it
}

// Compare sets rows of width values against their reference.
func Compare[F float32 | float64](got []float32, want []F, width int) Difference {
	if len(got) != len(want) || width < 1 || len(got)%width != 0 {
		panic(fmt.Sprintf("moe: comparing %d values with %d in rows of %d", len(got), len(want), width))
	}
	var d Difference
	var errors, squares float64
	for t := range len(got) / width {
		rowErrors, rowSquares, rowMax := deviation(got[t*width:][:width], want[t*width:][:width])
		errors += rowErrors
		squares += rowSquares
		d.MaxAbs = max(d.MaxAbs, rowMax)
		if r := ratio(rowErrors, rowSquares); r > d.TokenNMSE {
			d.TokenNMSE, d.Token = r, t
		}
	}
	d.NMSE = ratio(errors, squares)
	return d
}

// deviation sums squared errors and squares and finds the largest error of a row.
func deviation[F float32 | float64](got []float32, want []F) (errors, squares, highest float64) {
	for i, w := range want {
		e := math.Abs(float64(got[i]) - float64(w))
		if math.IsNaN(e) {
			e = math.Inf(1)
		}
		errors += e * e
		squares += float64(w) * float64(w)
		highest = max(highest, e)
	}
	return errors, squares, highest
}

// ratio is errors / squares, 0 for no errors and infinite for what is not a number.
func ratio(errors, squares float64) float64 {
	if errors == 0 {
		return 0
	}
	if r := errors / squares; !math.IsNaN(r) {
		return r
	}
	return math.Inf(1)
}

// worse merges two differences, that of the more distant parts.
func (d Difference) worse(other Difference) Difference {
	if other.TokenNMSE > d.TokenNMSE {
		d.TokenNMSE, d.Token = other.TokenNMSE, other.Token
	}
	d.NMSE = max(d.NMSE, other.NMSE)
	d.MaxAbs = max(d.MaxAbs, other.MaxAbs)
	return d
}
