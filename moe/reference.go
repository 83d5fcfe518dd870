package moe

import (
	"fmt"
	"math"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"ufm/pager"
)

// LayerResult is what one MoE layer computes, in float64.
type LayerResult struct {
	Experts []uint32  // (tokens, top_k) indexes within the layer
	Weights []float64 // (tokens, top_k)
	Output  []float64 // (tokens, d_model): Σ weight × expert, before the residual
}

// Choice says where the experts of a Reference come from.
type Choice uint8

// The choices. They differ in the weights too: replaced experts take the softmax of
// their logits, the router's own their part of the softmax over all experts.
const (
	ByRouter Choice = iota // the reference's router chooses
	Given                  // ids are what a router chose; only weights are computed
	Replaced               // ids take the place of a router's choice
)

// Reference computes one layer in float64 straight from the formulas, without the
// kernel layout. x is (tokens, d_model); ids, if choice is not ByRouter, are
// (tokens, top_k). It reads each expert in use once and all cores take part.
func Reference(m Model, layer int, x []float32, choice Choice, ids []uint32) (*LayerResult, error) {
	return reference(m, layer, x, choice, ids)
}

func reference[F float32 | float64](m Model, layer int, x []F, choice Choice, ids []uint32) (
	*LayerResult, error) {
	s := m.Shape()
	if len(x)%s.DModel != 0 {
		return nil, fmt.Errorf("moe: input of %d values is no multiple of d-model %d", len(x), s.DModel)
	}
	r := &LayerResult{Experts: make([]uint32, len(x)/s.DModel*s.TopK)}
	r.Weights = make([]float64, len(r.Experts))
	if choice != ByRouter {
		if err := checkRouting(s, ids, len(r.Experts)); err != nil {
			return nil, err
		}
		copy(r.Experts, ids)
	}
	gate, err := m.Router(layer)
	if err != nil {
		return nil, err
	}
	referenceRouter(s, gate, x, choice, r)
	products := make([]float64, len(r.Experts)*s.DModel) // (tokens, top_k, d_model)
	if err := referenceExperts(m, layer, x, r.Experts, products); err != nil {
		return nil, err
	}
	r.Output = make([]float64, len(x))
	for i, w := range r.Weights {
		out := r.Output[i/s.TopK*s.DModel:][:s.DModel]
		for n, v := range products[i*s.DModel:][:s.DModel] {
			out[n] += w * v
		}
	}
	return r, nil
}

// checkRouting tells what is wrong with ids that come from outside.
func checkRouting(s Shape, ids []uint32, want int) error {
	if len(ids) != want {
		return fmt.Errorf("moe: routing has %d ids, not %d", len(ids), want)
	}
	for i, e := range ids {
		if int64(e) >= int64(s.Experts) {
			return fmt.Errorf("moe: routing sends token %d to expert %d of %d", i/s.TopK, e, s.Experts)
		}
		if contains(ids[i-i%s.TopK:i], e) {
			return fmt.Errorf("moe: routing sends token %d to expert %d twice", i/s.TopK, e)
		}
	}
	return nil
}

// referenceRouter fills in r's weights and, if the router chooses, its experts.
func referenceRouter[F float32 | float64](s Shape, gate []float32, x []F, choice Choice,
	r *LayerResult) {
	p := make([]float64, s.Experts)
	for t := range len(x) / s.DModel {
		referenceLogits(gate, x[t*s.DModel:][:s.DModel], p)
		experts, weights := r.Experts[t*s.TopK:][:s.TopK], r.Weights[t*s.TopK:][:s.TopK]
		if choice != Replaced {
			softmax(p)
		}
		if choice == ByRouter {
			topK(p, experts)
		}
		for j, e := range experts {
			weights[j] = p[e]
		}
		if choice == Replaced {
			softmax(weights)
		} else if s.NormTopK {
			normalise(weights)
		}
	}
}

func referenceLogits[F float32 | float64](gate []float32, x []F, logits []float64) {
	for e := range logits {
		logits[e] = dot64(gate[e*len(x):][:len(x)], x)
	}
}

// referenceExperts computes every expert in use on its tokens' rows.
func referenceExperts[F float32 | float64](m Model, layer int, x []F, ids []uint32,
	products []float64) error {
	s := m.Shape()
	users := make([][]int, s.Experts) // by expert: indexes into ids
	for i, e := range ids {
		users[e] = append(users[e], i)
	}
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for e, rows := range users {
		if len(rows) == 0 {
			continue
		}
		work.Go(func() error {
			w, err := m.Expert(pager.ExpertID(s.Paging().ID(layer, e)))
			if err != nil {
				return err
			}
			for _, i := range rows {
				in := x[i/s.TopK*s.DModel:][:s.DModel]
				referenceExpert(s, w, in, products[i*s.DModel:][:s.DModel])
			}
			return nil
		})
	}
	return work.Wait()
}

// referenceExpert computes one expert for one token.
func referenceExpert[F float32 | float64](s Shape, w Matrices, x []F, y []float64) {
	hidden := make([]float64, s.DHidden)
	for n := range hidden {
		up := dot64(w.Up[n*s.DModel:][:s.DModel], x)
		if s.Form == SwiGLU {
			gate := dot64(w.Gate[n*s.DModel:][:s.DModel], x)
			hidden[n] = gate / (1 + math.Exp(-gate)) * up
		} else {
			hidden[n] = up / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(up+0.044715*up*up*up)))
		}
	}
	for n := range y {
		y[n] = dot64(w.Down[n*s.DHidden:][:s.DHidden], hidden)
	}
}

// dot64 is a plain dot product in float64, in four interleaved sums.
func dot64[F float32 | float64](w []float32, x []F) float64 {
	var a, b, c, d float64
	x = x[:len(w)]
	n := len(w) &^ 3
	for i := 0; i < n; i += 4 {
		p, q := (*[4]float32)(w[i:]), (*[4]F)(x[i:])
		a += float64(p[0]) * float64(q[0])
		b += float64(p[1]) * float64(q[1])
		c += float64(p[2]) * float64(q[2])
		d += float64(p[3]) * float64(q[3])
	}
	for i := n; i < len(w); i++ {
		a += float64(w[i]) * float64(x[i])
	}
	return (a + b) + (c + d)
}

// NormEpsilon is added to the mean square by the RMSNorm between synthetic layers.
const NormEpsilon = 1e-6

// RMSNorm is v / √(mean(v²) + NormEpsilon) of one token, for reference.
func RMSNorm(v []float64) []float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	scale := 1 / math.Sqrt(sum/float64(len(v))+NormEpsilon)
	out := slices.Clone(v)
	for i := range out {
		out[i] *= scale
	}
	return out
}
