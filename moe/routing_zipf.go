package moe

import (
	"math"
	"math/rand/v2"
	"sort"
)

// zipf draws experts with weights 1/rank^s without replacement. Each layer has its
// own order of ranks, the same in every step.
type zipf struct {
	weights []float64  // (experts) by rank
	sums    []float64  // (experts): of the weights up to a rank
	expert  [][]uint32 // (layers, experts): the expert of a rank
	taken   []bool     // (experts) by rank; scratch
}

func newZipf(s Shape, seed uint64, exponent float64) *zipf {
	z := &zipf{
		weights: make([]float64, s.Experts),
		sums:    make([]float64, s.Experts),
		expert:  make([][]uint32, s.Layers),
		taken:   make([]bool, s.Experts),
	}
	sum := 0.0
	for rank := range z.weights {
		z.weights[rank] = math.Pow(float64(rank+1), -exponent)
		sum += z.weights[rank]
		z.sums[rank] = sum
	}
	for l := range z.expert {
		rng := rand.New(rand.NewPCG(mix64(seed), mix64(uint64(l)+hashStep)))
		z.expert[l] = make([]uint32, s.Experts)
		for rank, e := range rng.Perm(s.Experts) {
			z.expert[l][rank] = uint32(e)
		}
	}
	return z
}

func (r *Routing) fillZipf(step, _ int, dst []uint32) error {
	z, k := r.zipf, r.shape.TopK
	ranks := make([]int, 0, k)
	for l := range r.shape.Layers {
		rng, ids := r.rng(step, l), r.layerIDs(dst, l)
		for i := range ids {
			if i%k == 0 {
				ranks = z.release(ranks)
			}
			rank := z.draw(rng)
			z.taken[rank] = true
			ranks = append(ranks, rank)
			ids[i] = z.expert[l][rank]
		}
		ranks = z.release(ranks)
	}
	return nil
}

// release makes the ranks of one token drawable again.
func (z *zipf) release(ranks []int) []int {
	for _, rank := range ranks {
		z.taken[rank] = false
	}
	return ranks[:0]
}

// draw returns a rank that is not taken. Drawing among all until a free one comes
// gives the right chances; where the taken ones hold nearly all weight it could last
// for ever, so after a few attempts the free ones are added up instead, which gives
// the same chances.
func (z *zipf) draw(rng *rand.Rand) int {
	total := z.sums[len(z.sums)-1]
	for range 4 {
		rank := sort.SearchFloat64s(z.sums, rng.Float64()*total)
		if rank < len(z.taken) && !z.taken[rank] {
			return rank
		}
	}
	free := 0.0
	for rank, w := range z.weights {
		if !z.taken[rank] {
			free += w
		}
	}
	at, last := rng.Float64()*free, 0
	for rank, w := range z.weights {
		if z.taken[rank] {
			continue
		}
		last = rank
		if at -= w; at < 0 {
			break
		}
	}
	return last
}
