package sim

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxSizes bounds the pool sizes that a list may name, ranges written out.
const maxSizes = 1 << 16

// ParseSlots reads a list of pool sizes for a bank of so many experts: numbers, parts of
// the bank, and ranges from one to another with the factor between neighbours.
//
//	96,25%,64-1024*2
//
// A part is rounded down, but to no less than one slot. A size above the bank means all
// of it, which a note tells. The sizes come back ascending, each once.
func ParseSlots(list string, universe int) (sizes []int, notes []string, err error) {
	for item := range strings.SplitSeq(list, ",") {
		some, note, err := parseSizes(strings.TrimSpace(item), universe)
		if err != nil {
			return nil, nil, fmt.Errorf("sim: slots %q: %w", list, err)
		}
		if note != "" {
			notes = append(notes, note)
		}
		if sizes = append(sizes, some...); len(sizes) > maxSizes {
			return nil, nil, fmt.Errorf("sim: slots %q: more than %d sizes", list, maxSizes)
		}
	}
	slices.Sort(sizes)
	return slices.Compact(sizes), notes, nil
}

// parseSizes reads one item of a list.
func parseSizes(item string, universe int) (sizes []int, note string, err error) {
	from, rest, isRange := strings.Cut(item, "-")
	if from == "" && isRange {
		return nil, "", fmt.Errorf("size %q: want at least 1", item)
	}
	low, err := parseSize(from, universe)
	if err != nil {
		return nil, "", err
	}
	high, factor := low, new(big.Rat)
	if isRange {
		to, step, ok := strings.Cut(rest, "*")
		if high, err = parseSize(to, universe); err != nil {
			return nil, "", err
		}
		if factor, err = decimal(step); !ok || err != nil || factor.Cmp(big.NewRat(1, 1)) <= 0 {
			return nil, "", fmt.Errorf("range %q: want the factor between sizes, above 1, "+
				"as in 64-1024*2", item)
		}
		if high < low {
			return nil, "", fmt.Errorf("range %q: ends below its start", item)
		}
	}
	if high > universe {
		note = fmt.Sprintf("slots %s: the bank has %d experts, more slots are not used",
			item, universe)
	}
	return steps(min(low, universe), min(high, universe), factor), note, nil
}

// steps are the sizes from low to high, each the factor times the one before it, rounded
// down, but at least one more.
func steps(low, high int, factor *big.Rat) []int {
	sizes := []int{low}
	exact := new(big.Rat).SetInt64(int64(low))
	for len(sizes) <= maxSizes {
		exact.Mul(exact, factor)
		shorten(exact)
		next := floor(exact)
		if last := sizes[len(sizes)-1]; next <= last {
			next = last + 1
			exact.SetInt64(int64(next))
		}
		if next > high {
			break
		}
		sizes = append(sizes, next)
	}
	return sizes
}

// shorten cuts r to thirty decimals: the digits of a product would grow without end.
func shorten(r *big.Rat) {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(30), nil)
	if r.Denom().Cmp(scale) > 0 {
		cut := new(big.Int).Mul(r.Num(), scale)
		r.SetFrac(cut.Quo(cut, r.Denom()), scale)
	}
}

// parseSize reads a number or a part of the bank.
func parseSize(text string, universe int) (int, error) {
	if text == "" {
		return 0, fmt.Errorf("a size is empty (as 96, 25%% or 64-1024*2)")
	}
	number, isPart := strings.CutSuffix(text, "%")
	if !isPart {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("size %q: want a whole number or a percentage", text)
		}
		if n == 0 {
			return 0, fmt.Errorf("size %q: want at least 1", text)
		}
		return n, nil
	}
	part, err := decimal(number)
	if err != nil {
		return 0, fmt.Errorf("size %q: %w", text, err)
	}
	if part.Sign() == 0 {
		return 0, fmt.Errorf("size %q: want more than nothing", text)
	}
	part.Mul(part, big.NewRat(int64(universe), 100))
	return max(1, floor(part)), nil
}

var decimalForm = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,9})?$`)

// decimal reads a plain decimal number exactly: no part of a bank is rounded wrongly.
func decimal(text string) (*big.Rat, error) {
	if !decimalForm.MatchString(text) {
		return new(big.Rat), fmt.Errorf("%q is not a plain number", text)
	}
	v, _ := new(big.Rat).SetString(text)
	return v, nil
}

// floor rounds down; what an int cannot hold becomes the largest.
func floor(r *big.Rat) int {
	q := new(big.Int).Quo(r.Num(), r.Denom())
	if !q.IsInt64() {
		return int(^uint(0) >> 1)
	}
	return int(q.Int64())
}
