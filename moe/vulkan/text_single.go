//go:build cgo && linux

package vulkan

import (
	"fmt"
	"math"

	"ufm/moe"
	"ufm/vk"
)

// The ops of a text's token, whose layers are
//
//	projection, attention, output projection, route, up, down
//
// between the embedding and the head. What the experts of a layer add to the residual
// stream is taken into account by the projection of the next.

const textOps = 6

// routerOps are those between the experts of the layer before and those of layer l.
func (x *text) routerOps(l int) (first, last int) {
	first, last = 1+textOps*l, 1+textOps*l+4
	if l == 0 {
		first = 0
	}
	return first, last
}

// headOps is the head.
func (x *text) headOps() (first, last int) {
	n := 1 + textOps*x.sizes.Layers
	return n, n + 1
}

// allOps is the number of ops for the batch under way.
func (x *text) allOps() int {
	first, last := x.headOps()
	if len(x.batch.Logits) == 0 {
		return first
	}
	return last
}

// recordOnward records all ops from first on, to end before the experts of which one is missing.
func (x *text) recordOnward(c *vk.Commands, b *moe.Batch, first int) {
	x.runner.memory.report.Words()[reportStopped] = nowhere
	push := x.push(b)
	push.Flags |= flagPlanned | flagDeferred | flagUntil
	x.runner.token.record(c, first, x.allOps(), push)
}

// nowhere stands for the op at which a token stopped if it did not.
const nowhere = ^uint32(0)

// passed asks the pager for the layers from l on that the device has gone through by itself, as all
// their experts were there, and returns the first that it has not.
func (x *text) passed(b *moe.Batch, l int) (int, error) {
	if !x.onward || l == x.sizes.Layers {
		return l, nil
	}
	if err := x.checkToken(); err != nil {
		return l, err
	}
	stop := x.sizes.Layers
	if op := x.runner.memory.report.Words()[reportStopped]; op != nowhere {
		stop = (int(op) - 1) / textOps
	}
	for ; l < stop; l++ {
		plan, err := x.place.Request(x.group(b, l))
		if err != nil {
			return l, err
		}
		if plan.Hits < len(plan.Accesses) {
			return l, fmt.Errorf("vulkan: the device has run layer %d, of which %d experts are missing",
				l, len(plan.Accesses)-plan.Hits)
		}
		x.schedule.ran(plan.Accesses)
	}
	return l, nil
}

// addOps adds the ops of a token in lists that are alike but for where they leave what the host
// reads: the first is for tokens whose logits it wants, the others take turns in text_follow.go.
func (x *text) addOps() {
	x.token.pipeline = x.kernels.token
	x.addList(0, x.dense.logits)
	for set := range tokenSets {
		x.addList(set, x.dense.ownLogits)
	}
}

func (x *text) addList(set int, logits *vk.Buffer) {
	m, s, t := x.dense, &x.sizes, x.token
	t.add(kindEmbed, 1, false, opEmbed{
		Kind: kindEmbed, Groups: 1, Embedding: m.embedding.Address(), IDs: m.ids.Address(),
		H: m.mid.Address(), DType: opDType(s.dtype), Vocab: uint32(s.vocab),
	})
	for l := range s.Layers {
		x.addLayer(l, set)
	}
	head := x.stream(t.whole(s.d, s.vocab), s.Layers)
	head.Weight, head.Dst = m.head.Address(), logits.Address()
	t.add(kindProduct, head.Groups, false, head)
}

// choiceAt is where the choice of a single token's layer stands among those of its set.
func (x *text) choiceAt(set, l int) int { return (set*x.sizes.Layers + l) * x.sizes.TopK }

// stream is a product whose inputs are the residual stream before layer l, with what the
// layer before adds to it.
func (x *text) stream(c pieces, l int) opProduct {
	m, experts, s := x.dense, x.runner.memory, &x.sizes
	p := x.token.opProduct(c, s.dtype)
	p.Source, p.Base, p.H = sourceStream, m.mid.Address(), m.h.Address()
	p.Norm = x.vectorAt(moe.AttentionNorm, l)
	p.DModel, p.Epsilon = uint32(s.DModel), float32(s.NormEps)
	p.Squares = m.squares.Address()
	if l > 0 {
		_, down := x.token.expertCuts(s.shape)
		p.X = experts.address(oneY)
		p.XParts, p.Rows = uint32(down.parts), uint32(s.TopK)
	}
	return p
}

// addLayer adds the ops of layer l, whose choice belongs to a set.
func (x *text) addLayer(l, set int) {
	m, s, t := x.dense, &x.sizes, x.token
	qkvCut, outCut := s.cuts(t.tuning)
	qkv := x.stream(qkvCut, l)
	qkv.Weight, qkv.Dst = m.qkv[l].Address(), m.projected.Address()
	t.add(kindProduct, qkv.Groups, false, qkv)

	groups, most := s.Heads/s.tokenHeads(), s.tokenSplits()
	attend := opAttend{
		Kind: kindAttend, Groups: uint32(groups),
		QKV: m.projected.Address(), Keys: m.keys[l].Address(), Values: m.values[l].Address(),
		Turns: m.turns.Address(),
		QNorm: x.vectorAt(moe.QueryNorm, l), KNorm: x.vectorAt(moe.KeyNorm, l),
		Acc: m.splits.Address(), State: m.states.Address(),
		Heads: uint32(s.Heads), PerKey: uint32(s.perKey()),
		Parts: uint32(qkvCut.parts), Width: uint32(s.width), Context: uint32(s.context),
		Most: uint32(most), Norm: ropeNorm(s.QueryKeyNorm),
		DModel: uint32(s.DModel), Epsilon: float32(s.NormEps),
		Scale: float32(1 / math.Sqrt(float64(s.HeadDim))),
	}
	if qkvCut.parts > 1 {
		attend.Squares = m.squares.Address()
	}
	t.add(kindAttend, attend.Groups, false, attend)

	out := t.opProduct(outCut, s.dtype)
	out.Weight, out.Dst = m.out[l].Address(), m.added.Address()
	out.Source, out.X, out.Base = sourceAttended, m.splits.Address(), m.states.Address()
	out.Heads, out.Most = uint32(s.Heads), uint32(most)
	t.add(kindProduct, out.Groups, false, out)

	route := x.opRoute(l)
	route.Base, route.Added, route.Parts = m.h.Address(), m.added.Address(), uint32(outCut.parts)
	route.H, route.Norm = m.mid.Address(), x.vectorAt(moe.MoENorm, l)
	route.Epsilon = float32(s.NormEps)
	choice := uint64(4 * x.choiceAt(set, l))
	route.Given = x.runner.memory.routing.Address() + choice
	route.IDs, route.IDWeights = m.experts.Address()+choice, m.weights.Address()+choice
	if l+1 < s.Layers {
		route.Predicted = m.predicted.Address() + uint64(4*(l+1)*s.TopK)
	}
	t.add(kindRoute, route.Groups, false, route)
	x.addExperts()
}

// recordAfterToken records what follows the experts of a layer but the next layer's ops.
func (x *text) recordAfterToken(c *vk.Commands, l int) {
	if l+1 < x.sizes.Layers {
		c.DispatchBarrier()
		return
	}
	if len(x.batch.Logits) > 0 {
		c.DispatchBarrier()
		first, last := x.headOps()
		x.runner.token.record(c, first, last, x.push(&moe.Batch{}))
	}
	c.Barrier() // the host reads what was chosen, or the logits
}

// cuts are those of both projections.
func (s *textSizes) cuts(t tuning) (qkv, out pieces) {
	_, down := t.expertCuts(s.shape)
	qkv = t.cut(job{s.d, s.width, 1, 1, s.TopK * down.parts, 1})
	return qkv, t.cut(job{s.row, s.d, 1, 1, s.mostSplits(), 1})
}

// maxTokenHeads are the most query heads of a workgroup of a token's attention.
const maxTokenHeads = 2

// tokenHeads is the number of query heads of a workgroup of a token's attention: they share
// a key head.
func (s *textSizes) tokenHeads() int {
	n := min(s.perKey(), maxTokenHeads)
	for s.perKey()%n != 0 {
		n--
	}
	return n
}

// mostSplits bounds the splits of a token's past by the workgroups that there are for them.
func (s *textSizes) mostSplits() int {
	return max(1, min(maxSplits, s.enoughAttention()*s.tokenHeads()/s.Heads))
}

// tokenSplits are as many, but no more than a workgroup of the output projection has threads for.
func (s *textSizes) tokenSplits() int {
	return max(1, min(s.mostSplits(), s.tuning.threads/s.partHeads()))
}

// partHeads bounds the heads in a part of the output projection's inputs, the padding of a row
// counted as the beginning of one.
func (s *textSizes) partHeads() int {
	_, out := s.cuts(s.tuning)
	return min(over(s.row, s.HeadDim), (out.part+s.HeadDim-2)/s.HeadDim+1)
}
