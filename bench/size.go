package bench

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"ufm/moe"
)

// ParseSize reads a number of bytes: 4096, 16GiB, 23.5GB.
func ParseSize(s string) (int64, error) {
	if s == "" {
		return 0, errors.New("bench: size: empty (as 16GiB or 16GB)")
	}
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("bench: size %q: negative", s)
	}
	n, err := humanize.ParseBytes(s)
	switch {
	case err != nil && strings.HasPrefix(err.Error(), "too large"), n > math.MaxInt64:
		return 0, fmt.Errorf("bench: size %q: overflows 63 bits", s)
	case err != nil:
		return 0, fmt.Errorf("bench: size %q: not a size (as 16GiB or 16GB)", s)
	case n == 0:
		return 0, fmt.Errorf("bench: size %q: zero", s)
	}
	return int64(n), nil
}

// Budget is the device memory that experts may take: so many bytes, a part of the
// bank, or, if it is neither, what is free.
type Budget struct {
	Bytes   int64
	Percent float64 // of the experts
}

// ParseBudget reads a size, a percentage of the bank, or "auto".
func ParseBudget(s string) (Budget, error) {
	if s == "auto" {
		return Budget{}, nil
	}
	if number, ok := strings.CutSuffix(s, "%"); ok {
		p, err := strconv.ParseFloat(number, 64)
		if err != nil || !(p > 0 && p <= 100) {
			return Budget{}, fmt.Errorf("bench: budget %q: must lie above 0%% and at most at 100%%", s)
		}
		return Budget{Percent: p}, nil
	}
	bytes, err := ParseSize(s)
	if err != nil {
		return Budget{}, fmt.Errorf("%w; a budget may also be 50%% or auto", err)
	}
	return Budget{Bytes: bytes}, nil
}

// Note says that more was asked for than there are experts to fill it; else "".
func (b Budget) Note(s moe.Shape) string {
	if b.Bytes <= s.BankBytes() {
		return ""
	}
	return fmt.Sprintf("the budget of %s is larger than the bank: all %s experts (%s) fit",
		size(b.Bytes), integer(s.Layers*s.Experts), size(s.BankBytes()))
}

// partOf is percent of n, rounded down: of the decimal number that was written, since in
// binary 32.3 % of 1000 is a little less than 323.
func partOf(percent float64, n int) int {
	p, ok := new(big.Rat).SetString(strconv.FormatFloat(percent, 'f', -1, 64))
	if !ok {
		panic(fmt.Sprintf("bench: %v percent is not a number", percent)) // ParseBudget lets none in
	}
	p.Mul(p, big.NewRat(int64(n), 100))
	return int(new(big.Int).Quo(p.Num(), p.Denom()).Int64())
}

// Slots is the number of experts that the budget holds, at most all of them. free is
// the device memory that is left for them; only an automatic budget looks at it.
func (b Budget) Slots(s moe.Shape, free int64) (int, error) {
	experts := s.Layers * s.Experts
	if b.Percent > 0 {
		return max(1, partOf(b.Percent, experts)), nil
	}
	bytes, what := b.Bytes, "budget"
	if bytes == 0 {
		bytes, what = max(free, 0), "free device memory"
	}
	if bytes < s.ExpertBytes() {
		return 0, fmt.Errorf("bench: %s of %s (%d bytes) is below one expert of %s (%d bytes)",
			what, humanize.IBytes(uint64(bytes)), bytes,
			humanize.IBytes(uint64(s.ExpertBytes())), s.ExpertBytes())
	}
	return int(min(bytes/s.ExpertBytes(), int64(experts))), nil
}
