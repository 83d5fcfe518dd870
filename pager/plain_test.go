package pager_test

import (
	"slices"

	"ufm/pager"
)

// Policies as plainly as they can be told, with linear searches through slices, to
// compare the real ones with. Each knows as much of the future calls as Policy tells.

// queue has the oldest first.
type queue []pager.ExpertID

func (q queue) has(e pager.ExpertID) bool { return slices.Contains(q, e) }

func (q *queue) push(e pager.ExpertID) { *q = append(*q, e) }

func (q *queue) remove(e pager.ExpertID) {
	if i := slices.Index(*q, e); i >= 0 {
		*q = slices.Delete(*q, i, i+1)
	}
}

func (q *queue) pop() pager.ExpertID {
	e := (*q)[0]
	*q = (*q)[1:]
	return e
}

// plain is what the models share: residents in the order of their last touch.
type plain struct {
	shape    pager.Shape
	slots    int
	touched  queue
	layer    int
	groups   int
	coming   pager.ExpertID
	executed map[pager.ExpertID]bool // in this group
	uses     map[pager.ExpertID]int
}

func newPlain(shape pager.Shape, slots int) plain {
	return plain{
		shape: shape, slots: slots, layer: shape.Layers - 1,
		executed: map[pager.ExpertID]bool{}, uses: map[pager.ExpertID]int{},
	}
}

func (*plain) Name() string { return "plain" }

func (p *plain) Begin(layer int, _, _ []pager.ExpertID) {
	p.layer = layer
	p.groups++
	clear(p.executed)
}

func (p *plain) Expect(e pager.ExpertID) { p.coming = e }

func (p *plain) Touch(e pager.ExpertID) {
	p.touched.remove(e)
	p.touched.push(e)
	p.executed[e] = true
	p.uses[e]++
}

func (p *plain) Insert(e pager.ExpertID, prefetch bool) {
	p.touched.push(e)
	delete(p.executed, e)
	if !prefetch {
		p.executed[e] = true
		p.uses[e]++
	}
}

// evictLeast evicts the resident for which less holds against all others, and of
// equals the one touched first.
func (p *plain) evictLeast(less func(a, b pager.ExpertID) bool) pager.ExpertID {
	best := p.touched[0]
	for _, e := range p.touched[1:] {
		if less(e, best) {
			best = e
		}
	}
	p.touched.remove(best)
	return best
}

type plainLRU struct{ plain }

func (p *plainLRU) Evict() pager.ExpertID { return p.touched.pop() }

type plainMRU struct{ plain }

func (p *plainMRU) Evict() pager.ExpertID {
	e := p.touched[len(p.touched)-1]
	p.touched.remove(e)
	return e
}

type plainFIFO struct{ plain }

func (p *plainFIFO) Touch(pager.ExpertID) {}

func (p *plainFIFO) Evict() pager.ExpertID { return p.touched.pop() }

type plainClock struct {
	plainFIFO
	again map[pager.ExpertID]bool
}

func (p *plainClock) Touch(e pager.ExpertID) { p.again[e] = true }

func (p *plainClock) Evict() pager.ExpertID {
	e := p.touched.pop()
	for p.again[e] {
		delete(p.again, e)
		p.touched.push(e)
		e = p.touched.pop()
	}
	return e
}

// plainSieve writes the hand into the queue: it stands before element hand.
type plainSieve struct {
	plainClock
	hand int
}

func (p *plainSieve) Evict() pager.ExpertID {
	for {
		e := p.touched[p.hand]
		if p.again[e] {
			delete(p.again, e)
			p.hand = (p.hand + 1) % len(p.touched)
			continue
		}
		p.touched.remove(e)
		if p.hand == len(p.touched) {
			p.hand = 0
		}
		return e
	}
}

type plainLayerLRU struct{ plain }

func (p *plainLayerLRU) Evict() pager.ExpertID {
	turns := func(e pager.ExpertID) int { // until the expert's layer comes
		return (p.shape.Layer(e)-p.layer-1+p.shape.Layers)%p.shape.Layers + 1
	}
	oldest := func(e pager.ExpertID) bool { // of its layer
		return e == p.touched[slices.IndexFunc(p.touched, func(x pager.ExpertID) bool {
			return p.shape.Layer(x) == p.shape.Layer(e)
		})]
	}
	return p.evictLeast(func(a, b pager.ExpertID) bool {
		if !oldest(a) || !oldest(b) {
			return oldest(a)
		}
		if p.executed[a] != p.executed[b] {
			return p.executed[b]
		}
		return turns(a) > turns(b)
	})
}

type plainLFU struct {
	plain
	half int
}

func (p *plainLFU) Begin(layer int, hits, misses []pager.ExpertID) {
	p.plain.Begin(layer, hits, misses)
	if p.half > 0 && p.groups%(p.half*p.shape.Layers) == 0 {
		for e := range p.uses {
			p.uses[e] /= 2
		}
	}
}

func (p *plainLFU) Evict() pager.ExpertID {
	return p.evictLeast(func(a, b pager.ExpertID) bool { return p.uses[a] < p.uses[b] })
}

type plainSLRU struct {
	plain
	first, second queue
	limit         int
}

func (p *plainSLRU) Touch(e pager.ExpertID) {
	p.first.remove(e)
	p.second.remove(e)
	p.second.push(e)
	for len(p.second) > p.limit {
		p.first.push(p.second.pop())
	}
}

func (p *plainSLRU) Insert(e pager.ExpertID, _ bool) { p.first.push(e) }

func (p *plainSLRU) Evict() pager.ExpertID {
	if len(p.first) == 0 {
		return p.second.pop()
	}
	return p.first.pop()
}

type plainTwoQ struct {
	plain
	in, ghosts, main    queue
	inLimit, ghostLimit int
}

func (p *plainTwoQ) Touch(e pager.ExpertID) {
	if p.main.has(e) {
		p.main.remove(e)
		p.main.push(e)
	}
}

func (p *plainTwoQ) Insert(e pager.ExpertID, _ bool) {
	if p.ghosts.has(e) {
		p.ghosts.remove(e)
		p.main.push(e)
	} else {
		p.in.push(e)
	}
	for len(p.ghosts) > p.ghostLimit {
		p.ghosts.pop()
	}
}

func (p *plainTwoQ) Evict() pager.ExpertID {
	if len(p.in) <= p.inLimit && len(p.main) > 0 {
		return p.main.pop()
	}
	e := p.in.pop()
	p.ghosts.push(e)
	return e
}

// plainARC follows figure 4 of the paper: lists t1, t2 and their ghosts b1, b2.
type plainARC struct {
	plain
	t1, t2, b1, b2 queue
	target         int
}

func (p *plainARC) Expect(e pager.ExpertID) {
	p.coming = e
	if p.b1.has(e) {
		p.target = min(p.slots, p.target+max(1, len(p.b2)/len(p.b1)))
	} else if p.b2.has(e) {
		p.target = max(0, p.target-max(1, len(p.b1)/len(p.b2)))
	}
}

func (p *plainARC) Touch(e pager.ExpertID) {
	p.t1.remove(e)
	p.t2.remove(e)
	p.t2.push(e)
}

func (p *plainARC) Insert(e pager.ExpertID, _ bool) {
	if p.b1.has(e) || p.b2.has(e) {
		p.b1.remove(e)
		p.b2.remove(e)
		p.t2.push(e)
	} else {
		p.t1.push(e)
	}
}

func (p *plainARC) Evict() pager.ExpertID {
	x := p.coming
	p.coming = pager.NoExpert
	if !p.b1.has(x) && !p.b2.has(x) {
		if len(p.t1)+len(p.b1) >= p.slots {
			if len(p.t1) >= p.slots {
				return p.t1.pop()
			}
			p.b1.pop()
		} else if len(p.b1)+len(p.b2) >= p.slots { // with a full pool: 2 × slots in all
			p.b2.pop()
		}
	}
	fromT1 := len(p.t1) > p.target || p.b2.has(x) && len(p.t1) == p.target
	if len(p.t1) > 0 && (fromT1 || len(p.t2) == 0) {
		e := p.t1.pop()
		p.b1.push(e)
		return e
	}
	e := p.t2.pop()
	p.b2.push(e)
	return e
}

// plainLIRS keeps the stack as a list of all that were ever used and looks for its
// bottom, the oldest near expert, each time.
type plainLIRS struct {
	plain
	stack, far queue
	near       map[pager.ExpertID]bool
	limit      int
}

// used puts e on top of the stack and tells whether it stood in it before.
func (p *plainLIRS) used(e pager.ExpertID) bool {
	bottom := slices.IndexFunc(p.stack, func(x pager.ExpertID) bool { return p.near[x] })
	if bottom < 0 {
		bottom = len(p.stack)
	}
	was := p.stack[bottom:].has(e)
	p.stack.remove(e)
	p.stack.push(e)
	return was
}

func (p *plainLIRS) becomeNear(e pager.ExpertID) {
	p.near[e] = true
	p.far.remove(e)
	if len(p.near) > p.limit {
		p.pushOut()
	}
}

// pushOut makes the near expert at the bottom far.
func (p *plainLIRS) pushOut() {
	bottom := slices.IndexFunc(p.stack, func(x pager.ExpertID) bool { return p.near[x] })
	p.far.push(p.stack[bottom])
	delete(p.near, p.stack[bottom])
}

func (p *plainLIRS) Touch(e pager.ExpertID) {
	was := p.used(e)
	if p.near[e] {
		return
	}
	if was && p.limit > 0 {
		p.becomeNear(e)
		return
	}
	p.far.remove(e)
	p.far.push(e)
}

func (p *plainLIRS) Insert(e pager.ExpertID, _ bool) {
	was := p.used(e)
	if len(p.near) < p.limit || was && p.limit > 0 {
		p.becomeNear(e)
	} else {
		p.far.push(e)
	}
}

func (p *plainLIRS) Evict() pager.ExpertID {
	if len(p.far) == 0 {
		p.pushOut()
	}
	return p.far.pop()
}

type plainS3FIFO struct {
	plain
	small, main, ghosts queue
	count               map[pager.ExpertID]int
	smallSize, ghostMax int
}

func (p *plainS3FIFO) Touch(e pager.ExpertID) { p.count[e] = min(p.count[e]+1, 3) }

func (p *plainS3FIFO) Insert(e pager.ExpertID, _ bool) {
	p.count[e] = 0
	if p.ghosts.has(e) {
		p.ghosts.remove(e)
		p.main.push(e)
	} else {
		p.small.push(e)
	}
	for len(p.ghosts) > p.ghostMax {
		p.ghosts.pop()
	}
}

func (p *plainS3FIFO) Evict() pager.ExpertID {
	for len(p.small) >= p.smallSize || len(p.main) == 0 {
		e := p.small.pop()
		if p.count[e] < 2 {
			p.ghosts.push(e)
			return e
		}
		p.count[e] = 0
		p.main.push(e)
	}
	e := p.main.pop()
	for p.count[e] > 0 {
		p.count[e]--
		p.main.push(e)
		e = p.main.pop()
	}
	return e
}

type plainPerLayer struct{ plain }

func (p *plainPerLayer) Evict() pager.ExpertID {
	residents := make([]int, p.shape.Layers)
	for _, e := range p.touched {
		residents[p.shape.Layer(e)]++
	}
	above := func(l int) int { // residents beyond the layer's share, rounded up for the first
		return residents[l] - (p.slots+p.shape.Layers-1-l)/p.shape.Layers
	}
	victim := -1
	for l := range residents {
		if residents[l] > 0 && (victim < 0 || above(l) > above(victim)) {
			victim = l
		}
	}
	if p.coming != pager.NoExpert {
		if l := p.shape.Layer(p.coming); residents[l] > 0 && above(l) >= 0 {
			victim = l
		}
	}
	p.coming = pager.NoExpert
	return p.evictLeast(func(a, b pager.ExpertID) bool {
		return p.shape.Layer(a) == victim && p.shape.Layer(b) != victim
	})
}

type plainStatic struct {
	plain
	turns int
	hot   map[pager.ExpertID]bool
}

// Begin counts by itself, as the uses of a group in the warm-up count at its start.
func (p *plainStatic) Begin(layer int, hits, misses []pager.ExpertID) {
	p.plain.Begin(layer, hits, misses)
	if p.groups <= p.turns*p.shape.Layers {
		for _, e := range slices.Concat(hits, misses) {
			p.uses[e]++
		}
	}
	if p.groups != p.turns*p.shape.Layers+1 {
		return
	}
	for range p.slots - 1 {
		best := pager.NoExpert
		for e := range pager.ExpertID(p.shape.Universe()) {
			if !p.hot[e] && p.uses[e] > 0 && (best == pager.NoExpert || p.uses[e] > p.uses[best]) {
				best = e
			}
		}
		if best != pager.NoExpert {
			p.hot[best] = true
		}
	}
}

func (p *plainStatic) Touch(e pager.ExpertID) {
	p.touched.remove(e)
	p.touched.push(e)
}

func (p *plainStatic) Insert(e pager.ExpertID, _ bool) { p.touched.push(e) }

func (p *plainStatic) Evict() pager.ExpertID {
	return p.evictLeast(func(a, b pager.ExpertID) bool { return p.hot[b] && !p.hot[a] })
}

// newPlainPolicy is the model of the policy with that spec, or nil.
func newPlainPolicy(spec string, shape pager.Shape, slots int) pager.Policy {
	base := newPlain(shape, slots)
	part := func(thousandths int) int { return max(slots*thousandths/1000, 1) }
	none := func() map[pager.ExpertID]bool { return map[pager.ExpertID]bool{} }
	switch spec {
	case "lru", "arraylru":
		return &plainLRU{base}
	case "mru":
		return &plainMRU{base}
	case "fifo":
		return &plainFIFO{base}
	case "clock":
		return &plainClock{plainFIFO{base}, none()}
	case "sieve":
		return &plainSieve{plainClock: plainClock{plainFIFO{base}, none()}}
	case "layerlru":
		return &plainLayerLRU{base}
	case "lfu":
		return &plainLFU{base, 32}
	case "lfu:half=0":
		return &plainLFU{base, 0}
	case "lfu:half=3":
		return &plainLFU{base, 3}
	case "slru":
		return &plainSLRU{plain: base, limit: slots * 8 / 10}
	case "slru:protected=0.5":
		return &plainSLRU{plain: base, limit: slots / 2}
	case "2q":
		return &plainTwoQ{plain: base, inLimit: part(250), ghostLimit: part(500)}
	case "arc":
		return &plainARC{plain: base}
	case "lirs":
		return &plainLIRS{plain: base, near: none(), limit: slots - part(10)}
	case "lirs:far=0.4":
		return &plainLIRS{plain: base, near: none(), limit: slots - part(400)}
	case "s3fifo":
		return &plainS3FIFO{
			plain: base, count: map[pager.ExpertID]int{},
			smallSize: part(100), ghostMax: part(900),
		}
	case "perlayer":
		return &plainPerLayer{base}
	case "static:warmup=2":
		return &plainStatic{base, 2, none()}
	}
	return nil
}
