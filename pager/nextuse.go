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
// Chances are fixed-point integers, so that every machine decides alike.
type nextUse struct {
	named
	shape  Shape
	window int

	hazard *hazard
	habits []habit    // (universe)
	rates  rates      // of the turn that was asked for last
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
	overlap   bool     // the newest misses of this group stay
	newest    []member // misses of this group that are not yet in their heap, oldest first
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
	weightBits                             = 4

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
		newest: make([]member, 0, maxNewest+1),
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
	p.rates = p.newRates(0)
	p.drawHazard()
	return p
}

// drawHazard takes over the hazard's curve.
func (p *nextUse) drawHazard() {
	for age := range p.ages {
		p.ages[age].hazard = weightHazard * p.hazard.at(int64(age+1))
	}
}

// Begin moves the clock on to the layer and learns from the group.
func (p *nextUse) Begin(layer int, hits, misses []ExpertID) {
	for len(p.newest) > 0 {
		p.insert(p.oldest())
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
	}
	p.turns[layer]++
	turn := p.turns[layer]
	for _, e := range hits {
		p.use(e, turn)
	}
	for _, e := range misses {
		p.use(e, turn)
	}
	p.heaps.turn(layer)
	if p.hazard.stale(p.clock) {
		p.hazard.learn(p.clock, p.habits, p.turns)
		p.drawHazard()
	}
}

func (p *nextUse) use(e ExpertID, turn int64) {
	h := &p.habits[e]
	if h.last > 0 {
		p.hazard.reused(turn - h.last)
	}
	h.recent = h.recent*p.age(turn-h.last).fading>>oneBits + p.useWeight
	h.last = turn
	h.uses++
}

func (p *nextUse) age(turns int64) byAge {
	return p.ages[min(int(turns), len(p.ages)-1)]
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
	if prefetch || !p.overlap {
		p.insert(member{expert: e, touched: p.touches})
	} else {
		p.admit(member{expert: e, touched: p.touches})
	}
}

// admit makes m the newest miss and lets the oldest of too many into its heap.
func (p *nextUse) admit(m member) {
	p.newest = append(p.newest, m)
	if len(p.newest) > max(1, min(maxNewest, p.residents/residentsPerNewest)) {
		p.insert(p.oldest())
	}
}

// oldest takes the oldest of the newest misses.
func (p *nextUse) oldest() member {
	m := p.newest[0]
	p.newest = append(p.newest[:0], p.newest[1:]...)
	return m
}

func (p *nextUse) insert(m member) {
	layer := p.at
	if first := p.shape.ID(layer, 0); m.expert < first || m.expert >= p.shape.ID(layer+1, 0) {
		layer = p.shape.Layer(m.expert) // a prefetch; a division
	}
	if p.heaps.fronts[layer].state != outdated {
		m.chance = p.chance(layer, m.expert)
	}
	p.heaps.insert(layer, m)
}

// Evict takes the top of the layer whose top is needed last.
func (p *nextUse) Evict() ExpertID {
	p.residents--
	best, bestNext := -1, int64(0)
	for l := range p.heaps.fronts {
		f := &p.heaps.fronts[l]
		if f.size == 0 {
			continue
		}
		if f.wait == unknown {
			p.findFront(l)
		}
		next := p.due[l]<<waitBits + f.wait
		if best < 0 || next > bestNext || next == bestNext && p.heaps.older(l, best) {
			best, bestNext = l, next
		}
	}
	if best >= 0 {
		return p.heaps.pop(best)
	}
	if len(p.newest) == 0 {
		p.emptied()
	}
	return p.oldest().expert // the pool is smaller than that
}

// findFront puts a layer in order, as far as its front needs it.
func (p *nextUse) findFront(layer int) {
	switch p.heaps.fronts[layer].state {
	case outdated:
		p.rank(layer)
	case listed:
		p.heaps.rank(layer)
	}
	p.heaps.setWait(layer)
}

// rank computes the chances of a layer's residents and finds the least.
func (p *nextUse) rank(layer int) {
	r, habits, ages := p.ratesAt(p.turns[layer]), p.habits, p.ages
	members := p.heaps.members(layer)
	l := nothing
	for i := range members {
		m := &members[i]
		m.chance = r.chance(&habits[m.expert], ages)
		l = l.and(m.chance, i)
	}
	p.heaps.fronts[layer].scans = 1
	p.heaps.lead(layer, l)
}

// chance is the p of the rule for the next turn of e's layer.
func (p *nextUse) chance(layer int, e ExpertID) int64 {
	return p.ratesAt(p.turns[layer]).chance(&p.habits[e], p.ages)
}

// ratesAt are those after so many turns: layers come in turn, so that most share them.
func (p *nextUse) ratesAt(turn int64) *rates {
	if p.rates.turn != turn {
		p.rates = p.newRates(turn)
	}
	return &p.rates
}

// rates turn habits of a layer's experts into chances. They hold what these share, so
// that no expert needs a division.
type rates struct {
	turn        int64 // turns of the layer so far
	perTurn     int64 // 1 / (turns + those of the prior), in 2⁻⁶⁰
	longPrior   int64 // the prior's part of the long frequency, weighted
	perWeight   int64 // 1 / (windowed weight of all turns + that of the prior), in 2⁻³⁰
	recentPrior int64 // the prior's part of the recent weight
	prior       int64
}

func (p *nextUse) newRates(turn int64) rates {
	weight := one - p.age(turn).fading + p.priorWeight
	return rates{
		turn:        turn,
		perTurn:     one * one / (turn + priorTurns),
		longPrior:   weightLong * (priorTurns * p.prior / (turn + priorTurns)),
		perWeight:   one * one / weight,
		recentPrior: p.recentPrior,
		prior:       p.prior,
	}
}

// chance is p before the next turn, but for rounding at the ends.
func (r *rates) chance(h *habit, ages []byAge) int64 {
	if h.last == 0 {
		return r.prior
	}
	a := &ages[min(int(r.turn-h.last), len(ages)-1)]
	long := h.uses * r.perTurn >> oneBits
	recent := (r.recentPrior + h.recent*a.fading>>oneBits) * r.perWeight >> oneBits
	return (a.hazard + weightLong*long + r.longPrior + weightRecent*recent) >> weightBits
}
