package bench

import (
	"ufm/moe"
	"ufm/pager"
)

// dense is what a whole model asks of the hardware outside its experts: once a step,
// and for each token.
type dense struct {
	bytes int64 // of weights, read once a step
	flops int64 // of a token; products with weights alone
}

// denseOf adds up the matrices that every token passes: attention, routers, and the
// head for tokens whose logits are asked for, one a step.
func denseOf(m moe.TextModel) (layers dense, head int64) {
	c, s := m.Config(), m.Shape()
	var weights int64
	for _, kind := range []moe.DenseKind{moe.Query, moe.Key, moe.Value, moe.AttentionOutput} {
		out, in := c.DenseShape(kind)
		weights += int64(out) * int64(in)
	}
	n, each := int64(s.Layers), int64(m.DenseDType().Size())
	router := int64(s.Experts) * int64(s.DModel) // float32 on the device
	out, in := c.DenseShape(moe.Head)
	head = int64(out) * int64(in)
	return dense{
		bytes: n*(weights*each+router*4) + head*each,
		flops: 2 * n * (weights + router),
	}, 2 * head
}

// demandOfDense is what a step of so many tokens asks for outside the experts.
func demandOfDense(m moe.TextModel, tokens int) demand {
	layers, head := denseOf(m)
	return demand{readBytes: layers.bytes, flops: int64(tokens)*layers.flops + head}
}

// demandsOfPhase are the groups of a phase and, for each of its steps, what is around
// the experts. tokens is by step.
func demandsOfPhase(
	m moe.TextModel, groups []pager.Group, uploads []int64, tokens map[int]int, p pager.Phase,
) (demands []demand, best int64) {
	s := m.Shape()
	for i, g := range groups {
		n, measured := tokens[g.Step]
		if g.Phase != p || !measured {
			continue
		}
		demands = append(demands, demandOf(s, n*s.TopK, len(g.Experts), uploads[i]))
		best += uploads[i]
	}
	for _, n := range tokens {
		demands = append(demands, demandOfDense(m, n))
	}
	return demands, best
}
