package moe

import "math"

// Route runs one layer's router on one token x (d_model): logits = gate·x, softmax
// over all experts, top-k in falling order with ties to the lower index, and, if
// the shape says so, weights scaled to add up to 1.
//
// replaced, if not nil, are top-k indexes that take the place of the router's own;
// their weights are the softmax of their logits alone. gate is (experts, d_model)
// and logits (experts) is scratch. The choice goes to experts and weights, (top_k).
func Route(s Shape, gate, x []float32, replaced []uint32,
	logits []float32, experts []uint32, weights []float32) {
	for e := range logits {
		logits[e] = dot(gate[e*len(x):][:len(x)], x)
	}
	if replaced != nil {
		copy(experts, replaced)
		for j, e := range experts {
			weights[j] = logits[e]
		}
		softmax(weights)
		return
	}
	softmax(logits)
	topK(logits, experts)
	for j, e := range experts {
		weights[j] = logits[e]
	}
	if s.NormTopK {
		normalise(weights)
	}
}

// dot adds up in eight interleaved sums, in a fixed order.
func dot(a, b []float32) float32 {
	var sum [8]float32
	n := len(a) &^ 7
	for i := 0; i < n; i += 8 {
		p, q := (*[8]float32)(a[i:]), (*[8]float32)(b[i:])
		for j := range sum {
			sum[j] += p[j] * q[j]
		}
	}
	for i := n; i < len(a); i++ {
		sum[i-n] += a[i] * b[i]
	}
	return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]))
}

// softmax replaces v by exp(v - max) / sum.
func softmax[F float32 | float64](v []F) {
	highest := v[0]
	for _, x := range v[1:] {
		highest = max(highest, x)
	}
	for i, x := range v {
		v[i] = F(math.Exp(float64(x - highest)))
	}
	normalise(v)
}

// normalise scales v to add up to 1.
func normalise[F float32 | float64](v []F) {
	var sum F
	for _, x := range v {
		sum += x
	}
	for i := range v {
		v[i] /= sum
	}
}

// topK fills chosen with the indexes of the largest values, in falling order; of
// equal values the lower index comes first. It inserts into a short sorted list,
// which for the top few of some hundred is as fast as a heap.
func topK[F float32 | float64](values []F, chosen []uint32) {
	n := 0
	for i, v := range values {
		at := n
		for at > 0 && v > values[chosen[at-1]] {
			at--
		}
		if at == len(chosen) {
			continue
		}
		n = min(n+1, len(chosen))
		copy(chosen[at+1:n], chosen[at:n-1])
		chosen[at] = uint32(i)
	}
}
