package bench

import (
	"fmt"
	"strings"

	"ufm/moe"
)

// Verdict says in words what rows of one run on device d show: for each what binds it,
// how near it came and, for the best paged one, what would help. Every sentence is made
// from the rows' figures.
func Verdict(rows []Row, d moe.Device) []string {
	var lines []string
	for _, r := range rows {
		lines = append(lines, r.Sentence())
	}
	ufm := find(rows, moe.UFM)
	if ufm == nil {
		return lines
	}
	if line := compare(*ufm, rows); line != "" {
		lines = append(lines, line)
	}
	return append(lines, ufm.Advice(d.Unified)...)
}

// find is the row of a mode if it has figures to speak of.
func find(rows []Row, mode moe.Mode) *Row {
	for i, r := range rows {
		if r.Mode == mode.String() && r.TokensPerS != nil && r.BeladyUploads != nil {
			return &rows[i]
		}
	}
	return nil
}

// Sentence is what happened to one row, in the row's own figures.
func (r Row) Sentence() string {
	if r.Status != StatusOK {
		return fmt.Sprintf("%s: %s: %s", r.Mode, r.Status, show(r.Error, same))
	}
	s := fmt.Sprintf("%s: %s tok/s", r.Mode, show(r.TokensPerS, figure))
	if r.LimitFraction != nil {
		s += fmt.Sprintf(", %s of the limit of %s ms a step, which the %s sets",
			percent(*r.LimitFraction), figure(*r.LimitMs), binds[*r.LimitBy])
	}
	if r.Mode == moe.Baseline.String() || r.BeladyUploads == nil {
		return s
	}
	return s + "; " + r.uploadsInWords()
}

// uploadsInWords sets the uploads that were made beside those of the best policy.
func (r Row) uploadsInWords() string {
	if *r.Uploads == 0 {
		return "no upload was needed"
	}
	s := integer(*r.Uploads) + " uploads made"
	if r.LinkFraction != nil {
		s += fmt.Sprintf(" with the link %s busy", percent(*r.LinkFraction))
	}
	if *r.Uploads == *r.BeladyUploads {
		return s + ", as few as belady makes with " + r.pool()
	}
	return s + fmt.Sprintf(", where belady makes %s with %s", integer(*r.BeladyUploads), r.pool())
}

// pool is what the bound has for experts. That naive has one slot is no budget.
func (r Row) pool() string {
	if r.Mode == moe.Naive.String() {
		return "a budget of " + size(r.BudgetBytes)
	}
	return integer(r.Slots) + " slots"
}

// binds says each term of the limit in words.
var binds = map[string]string{
	byMemory:  "reading of weights from device memory",
	byCompute: "arithmetic",
	byLink:    "link from the host",
}

// compare sets mode ufm beside the others.
func compare(ufm Row, rows []Row) string {
	var parts []string
	for _, mode := range []moe.Mode{moe.Naive, moe.Published, moe.Baseline} {
		if r := find(rows, mode); r != nil {
			parts = append(parts, fmt.Sprintf("%s × %s", figure(*ufm.TokensPerS / *r.TokensPerS), mode))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("speed of ufm: %s, with %s of the bank on the device",
		strings.Join(parts, ", "), percent(float64(ufm.BudgetBytes)/float64(ufm.BankBytes)))
}
