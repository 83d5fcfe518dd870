package pager

// nextUse evicts the expert that it expects to be needed last: Belady's rule on an
// estimate. Layers come in a fixed cycle, so for a resident expert e
//
//	next(e) = d(layer(e)) + L × (1/p(e) − 1)      in turns of single layers
//
// where L is the number of layers, d (1..L) the turns until e's layer comes again,
// and p the chance that the layer's group then uses e: if each of the layer's turns
// used e with chance p, the first use would come after 1/p − 1 turns in vain.
//
// p is a weighted mean of three estimates, all learnt on the way:
//
//	the reuse hazard   of experts last used so many of their layer's turns ago
//	its own frequency  since the start
//	its own frequency  lately, over a window that forgets exponentially
//
// The last one follows changes of subject, where the second lags behind. Where every
// expert is used at every step all three are 1, and the rule evicts from the layer
// just executed, which is optimal on a sweep.
//
// p changes only at turns of e's layer, so the least likely resident of a layer is looked
// for once after its turn, when a miss next needs it, and where many victims come from
// it, its residents become a heap. A miss compares the fronts of all layers: O(log n +
// layers), and one scan of a layer a turn.
//
//	layer   0       1       2       3
//	front  p=.02   p=.10   p=.01   p=.30
//	due    t+2     t+3     t+4     t+1           now t: layer 2 was just executed
//	next   due + L(1/p − 1), the largest goes
//
// In a group with more misses than one token can have, the newest three misses stay until
// the next one is in, in a small pool fewer. Otherwise the misses of a layer without other
// residents would all pass through one slot, each upload waiting for the compute before it.
// With four slots two uploads share the link while two experts compute.
//
// And a layer that has more than its share of the slots gives some to such a group: its
// residents count as if they were needed one turn of theirs later. Every miss of a fixed set
// costs the same, but where one layer has all of them the link stands still in the others.
//
// Chances are fixed-point integers, so that every machine decides alike.
type nextUse struct {
	named
	shape  Shape
	window int

	hazard *hazard
	habits []habit    // (universe)
	rates  [2]rates   // of the last turns that were asked for, an even and an odd one
	turns  []int64    // (layers): groups that the layer has had
	heaps  layerHeaps // residents by chance
	clock  int64      // layer turns so far, with those that a request skipped
	at     int        // layer of the last group
	due    []int64    // (layers): clock of the layer's next turn
	prior  int64      // chance of an expert of which nothing is known
	windowed
	ages      []byAge // (ages): the last one stands for all above
	touches   int64   // of experts, for their order
	residents int
	overlap   bool       // the newest misses of this group stay
	newest    []ExpertID // misses of this group that are not yet in their heap, oldest first
}

// maxNewest is how many misses of a large group stay, but no more than one in so many
// residents: in a small pool they would cost more hits than the overlap is worth.
const maxNewest, residentsPerNewest = 3, 16

// windowed are shares of the windowed weight of all turns, which is 1.
type windowed struct {
	useWeight   int64 // of one use
	priorWeight int64 // of the prior's turns
	recentPrior int64 // of the prior
}

// byAge is what an expert's chance takes from how many turns ago it was last used.
type byAge struct {
	fading int64 // (1 − 1/window)^age, 0 beyond e⁻¹⁶
	hazard int64 // of reuse at the next turn, weighted
}

// habit is what is known of one expert, resident or not.
type habit struct {
	last   int64 // turn of its layer that last used it, from 1; 0: never
	uses   int64
	recent int64 // Σ over its uses of 1/window × (1 − 1/window)^(age at the last use)
}

const (
	oneBits = 30
	one     = int64(1) << oneBits // a chance of 1

	// The weights of the three estimates, in sixteenths, chosen on the first halves of
	// three traces. The optimum is flat: 5, 5 and 6 cost 0.1 points of hit rate on
	// average, 8, 4 and 4 cost 0.3.
	weightHazard, weightLong, weightRecent = 6, 4, 6

	// sixteenth is a sixteenth of a chance of 1 as members have it.
	sixteenth = int64(1) << (oneBits + expertBits - 4)

	priorTurns    = 8  // the prior weighs as much as this many turns
	defaultWindow = 48 // turns
)

func newNextUse(name string, shape Shape, window int) *nextUse {
	n := shape.Universe()
	p := &nextUse{
		named: named(name), shape: shape, window: window, at: shape.Layers - 1,
		habits: make([]habit, n),
		turns:  make([]int64, shape.Layers),
		heaps:  newLayerHeaps(shape),
		due:    make([]int64, shape.Layers),
		ages:   make([]byAge, max(16*window, hazardAges)+1),
		newest: make([]ExpertID, 0, maxNewest+1),
	}
	p.prior = one * int64(max(shape.TopK, 1)) / int64(shape.Experts)
	p.windowed = windowed{
		useWeight:   one / int64(window),
		priorWeight: priorTurns * one / int64(window),
		recentPrior: priorTurns * p.prior / int64(window),
	}
	p.hazard = newHazard(p.prior, int64(shape.Layers))
	for l := range p.due {
		p.due[l] = int64(l + 1)
	}
	weight := one
	for age := range 16 * window {
		p.ages[age].fading = weight
		weight -= weight / int64(window)
	}
	p.setRates(&p.rates[0], 0)
	p.drawHazard()
	return p
}

// drawHazard takes over the hazard's curve, which is flat above its last age.
func (p *nextUse) drawHazard() {
	for age := range p.ages[:hazardAges] {
		p.ages[age].hazard = weightHazard * (sixteenth >> oneBits) * p.hazard.at(int64(age+1))
	}
	old := weightHazard * (sixteenth >> oneBits) * p.hazard.at(hazardAges)
	for age := hazardAges; age < len(p.ages); age++ {
		p.ages[age].hazard = old
	}
}

// Begin moves the clock on to the layer and learns from the group.
func (p *nextUse) Begin(layer int, hits, misses []ExpertID) {
	for len(p.newest) > 0 {
		p.settle(p.oldest())
	}
	p.overlap = len(misses) > p.shape.TopK
	for {
		p.clock++
		if p.at++; p.at == p.shape.Layers {
			p.at = 0
		}
		p.due[p.at] = p.clock + int64(p.shape.Layers)
		if p.at == layer {
			break
		}
		p.heaps.forget(p.at) // a skipped layer, which is due later now
	}
	p.turns[layer]++
	p.use(hits, p.turns[layer])
	p.use(misses, p.turns[layer])
	p.heaps.turn(layer)
	if p.hazard.stale(p.clock) {
		p.hazard.learn(p.clock, p.habits, p.turns)
		p.drawHazard()
	}
}

// use learns from the experts that a turn uses.
func (p *nextUse) use(experts []ExpertID, turn int64) {
	habits, ages, hazard := p.habits, p.ages, p.hazard
	for _, e := range experts {
		h := &habits[e]
		age := turn - h.last
		if h.last > 0 {
			hazard.reused(age)
		}
		h.recent = h.recent*ageOf(ages, age).fading>>oneBits + p.useWeight
		h.last = turn
		h.uses++
	}
}

func (p *nextUse) age(turns int64) *byAge { return ageOf(p.ages, turns) }

// ageOf is an age of so many turns. The last one stands for all above.
func ageOf(ages []byAge, turns int64) *byAge {
	return &ages[min(int(turns), len(ages)-1)]
}

// Touch only moves e behind others of the same chance.
func (p *nextUse) Touch(e ExpertID) {
	p.touches++
	p.heaps.touch(p.at, e, p.touches)
}

// Insert adds e to its layer's residents; of a group's misses, the one before it.
func (p *nextUse) Insert(e ExpertID, prefetch bool) {
	p.touches++
	p.residents++
	p.heaps.touched[e] = p.touches
	if prefetch || !p.overlap {
		p.settle(e)
	} else {
		p.admit(e)
	}
}

// admit makes e the newest miss and lets the oldest of too many into its heap.
func (p *nextUse) admit(e ExpertID) {
	p.newest = append(p.newest, e)
	if len(p.newest) > max(1, min(maxNewest, p.residents/residentsPerNewest)) {
		p.settle(p.oldest())
	}
}

// oldest takes the oldest of the newest misses.
func (p *nextUse) oldest() ExpertID {
	e := p.newest[0]
	p.newest = append(p.newest[:0], p.newest[1:]...)
	return e
}

// settle makes e a resident like others.
func (p *nextUse) settle(e ExpertID) {
	layer := p.at
	if first := p.shape.ID(layer, 0); e < first || e >= p.shape.ID(layer+1, 0) {
		layer = p.shape.Layer(e) // a prefetch; a division
	}
	m := member(e)
	if p.heaps.fronts[layer].state != outdated {
		m = p.member(layer, e)
	}
	p.heaps.insert(layer, m)
}

// Evict takes the first of the layer whose first is needed last. The layer is chosen
// without a branch: it would be guessed wrong, and found to be only after all that a
// layer's chances take.
func (p *nextUse) Evict() ExpertID {
	if p.overlap {
		return p.evictShared()
	}
	p.residents--
	if p.heaps.next[p.at] == unknown { // always so for a group's first victim, others rarely
		p.findFront(p.at)
	}
	best, bestNext := 0, int64(0)
	for l, next := range p.heaps.next {
		if next == unknown {
			next = p.findFront(l)
		}
		if next == bestNext && p.heaps.older(l, best) {
			best = l
		}
		later := int((bestNext - next) >> 63) // all ones if so
		best ^= (best ^ l) & later
		bestNext = max(bestNext, next)
	}
	if bestNext > 0 {
		e := p.heaps.pop(best)
		if p.heaps.next[best] == unknown {
			p.setNext(best)
		}
		return e
	}
	p.emptied()
	return NoExpert
}

// evictShared is Evict for a group with more misses than one token can have.
func (p *nextUse) evictShared() ExpertID {
	layers := len(p.due)
	share, turn := (p.residents+layers-1)/layers, int64(layers)<<waitBits
	p.residents--
	best, bestNext := 0, int64(0)
	for l, next := range p.heaps.next {
		if next == unknown {
			next = p.findFront(l)
		}
		if p.heaps.fronts[l].size > share {
			next += turn
		}
		if next > bestNext || next == bestNext && p.heaps.older(l, best) {
			best, bestNext = l, next
		}
	}
	if bestNext > 0 {
		return p.heaps.pop(best)
	}
	if len(p.newest) == 0 {
		p.emptied()
	}
	return p.oldest() // the pool is smaller than that
}

const (
	waitBits = 8              // of a turn's fraction
	maxWait  = int64(1) << 50 // leaves room for a clock of 2^54 turns
)

// findFront finds the first of a layer and returns when it is expected to be needed.
func (p *nextUse) findFront(layer int) int64 {
	if p.heaps.fronts[layer].state == outdated {
		p.rank(layer)
	}
	return p.setNext(layer)
}

// setNext computes when a layer's first is expected to be needed. Rounding may have made
// its chance nothing or more than one.
func (p *nextUse) setNext(layer int) int64 {
	layers := uint64(p.shape.Layers)
	chance := uint64(min(max(p.heaps.fronts[layer].first.chance(), 1), one))
	wait := layers<<(oneBits+waitBits)/chance - layers<<waitBits
	next := p.due[layer]<<waitBits + min(int64(wait), maxWait)
	p.heaps.next[layer] = next
	return next
}

// rank computes the chances of a layer's residents and finds the least.
func (p *nextUse) rank(layer int) {
	l := p.ratesAt(p.turns[layer]).rank(p.heaps.members(layer), p.habits, p.ages)
	p.heaps.fronts[layer].scans = 1
	p.heaps.lead(layer, l)
}

// member is e with the p of the rule for the next turn of its layer.
func (p *nextUse) member(layer int, e ExpertID) member {
	r, h := p.ratesAt(p.turns[layer]), &p.habits[e]
	return r.member(h, p.age(r.turn-h.last), e)
}
