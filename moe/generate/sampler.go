package generate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"ufm/internal/kernel"
)

// Sampling says how the next token is chosen. The zero value takes the likeliest.
type Sampling struct {
	Temperature float64 // 0: the likeliest token, always
	TopK        int     // only the k likeliest; 0: all
	TopP        float64 // only the fewest likeliest with that much probability; 0 or 1: all
	Seed        uint64
}

// Validate lists what is wrong.
func (s Sampling) Validate() error {
	var errs []error
	if !(s.Temperature >= 0) || math.IsInf(s.Temperature, 1) {
		errs = append(errs, fmt.Errorf("temperature must be at least 0, not %v", s.Temperature))
	}
	if s.TopK < 0 {
		errs = append(errs, fmt.Errorf("top-k must be at least 0, not %d", s.TopK))
	}
	if !(s.TopP >= 0 && s.TopP <= 1) {
		errs = append(errs, fmt.Errorf("top-p must lie between 0 and 1, not %v", s.TopP))
	}
	return errors.Join(errs...)
}

// sampler draws tokens. The same seed and logits give the same tokens.
type sampler struct {
	Sampling
	random *rand.Rand
	tokens []choice // scratch
	sorted []float32
}

// choice is a token that may be drawn, with its probability times some constant.
type choice struct {
	id     int32
	weight float64
}

func newSampler(s Sampling) *sampler {
	return &sampler{Sampling: s, random: rand.New(rand.NewPCG(s.Seed, 0))}
}

// next chooses by the logits of all tokens.
func (s *sampler) next(logits []float32) (int32, error) {
	best, err := likeliest(logits)
	if err != nil || s.Temperature == 0 {
		return best, err
	}
	s.weigh(logits, float64(logits[best]))
	if s.TopP > 0 && s.TopP < 1 {
		s.nucleus()
	}
	return s.draw(), nil
}

// likeliest is the token with the highest logit, of equals the first. All logits are looked
// through for their peak and then, in the piece that has it, for where it stands.
func likeliest(logits []float32) (int32, error) {
	if len(logits) == 0 {
		return 0, errors.New("generate: no logits to choose from")
	}
	const piece = 1 << 12
	best, at := kernel.PeakOf(nil), 0
	for first := 0; first < len(logits); first += piece {
		p := kernel.PeakOf(logits[first:min(first+piece, len(logits))])
		best.Largest = max(best.Largest, p.Largest)
		if p.Highest > best.Highest {
			best.Highest, at = p.Highest, first
		}
	}
	if best.Largest < kernel.Infinite {
		value := math.Float32frombits(uint32(kernel.Ordered(uint32(best.Highest))))
		return int32(at + slices.Index(logits[at:], value)), nil
	}
	odd := slices.IndexFunc(logits, func(v float32) bool { return v-v != 0 })
	return 0, fmt.Errorf("generate: the logit of token %d is %v", odd, logits[odd])
}

// weigh fills tokens with the top k and their weights, at most 1.
func (s *sampler) weigh(logits []float32, highest float64) {
	least, equals := s.threshold(logits)
	s.tokens = s.tokens[:0]
	for id, v := range logits {
		if v < least {
			continue
		}
		if v == least {
			if equals == 0 {
				continue
			}
			equals--
		}
		w := math.Exp((float64(v) - highest) / s.Temperature)
		s.tokens = append(s.tokens, choice{int32(id), w})
	}
}

// threshold is the lowest logit of the top k, and how many of it belong to them.
func (s *sampler) threshold(logits []float32) (least float32, equals int) {
	if s.TopK == 0 || s.TopK >= len(logits) {
		return float32(math.Inf(-1)), len(logits)
	}
	s.sorted = append(s.sorted[:0], logits...)
	least = kthLargest(s.sorted, s.TopK)
	equals = s.TopK
	for _, v := range logits {
		if v > least {
			equals--
		}
	}
	return least, equals
}

// kthLargest reorders values. It takes linear time on average.
func kthLargest(values []float32, k int) float32 {
	for low, high := 0, len(values); ; {
		pivot := values[low+(high-low)/2]
		larger, at := low, low // [low, larger) > pivot, [larger, at) = pivot, [smaller, high) <
		smaller := high
		for at < smaller {
			switch v := values[at]; {
			case v > pivot:
				values[at], values[larger] = values[larger], v
				larger++
				at++
			case v < pivot:
				smaller--
				values[at], values[smaller] = values[smaller], v
			default:
				at++
			}
		}
		switch {
		case k <= larger:
			high = larger
		case k <= smaller:
			return pivot
		default:
			low = smaller
		}
	}
}

// nucleus keeps the fewest tokens whose probability adds up to top-p.
func (s *sampler) nucleus() {
	total := s.total()
	// Tokens below an even share of what may be cut cannot belong to it: few are left
	// to sort.
	few := (1 - s.TopP) * total / float64(len(s.tokens))
	s.tokens = slices.DeleteFunc(s.tokens, func(c choice) bool { return c.weight < few })
	slices.SortFunc(s.tokens, func(a, b choice) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.id, b.id))
	})
	sum := 0.0
	for i, c := range s.tokens {
		if sum += c.weight; sum >= s.TopP*total {
			s.tokens = s.tokens[:i+1]
			return
		}
	}
}

func (s *sampler) total() float64 {
	sum := 0.0
	for _, c := range s.tokens {
		sum += c.weight
	}
	return sum
}

func (s *sampler) draw() int32 {
	at := s.random.Float64() * s.total()
	for _, c := range s.tokens {
		if at -= c.weight; at < 0 {
			return c.id
		}
	}
	return s.tokens[len(s.tokens)-1].id // rounding
}
