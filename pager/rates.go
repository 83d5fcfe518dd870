package pager

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

// ratesAt are those after so many turns: layers come in turn, so that most share them.
func (p *nextUse) ratesAt(turn int64) *rates {
	r := &p.rates[turn&1]
	if r.turn != turn {
		p.setRates(r, turn)
	}
	return r
}

func (p *nextUse) setRates(r *rates, turn int64) {
	r.turn = turn
	r.perTurn = one * one / (turn + priorTurns)
	r.longPrior = weightLong * (priorTurns * p.prior / (turn + priorTurns))
	r.perWeight = one * one / (one - p.age(turn).fading + p.priorWeight)
	r.recentPrior = p.recentPrior
	r.prior = p.prior
}

// chance is p before the next turn of an expert of that age, but for rounding at the ends.
func (r *rates) chance(h *habit, a *byAge) int64 {
	if h.last == 0 {
		return r.prior
	}
	long := h.uses * r.perTurn >> oneBits
	recent := (r.recentPrior + h.recent*a.fading>>oneBits) * r.perWeight >> oneBits
	return (a.hazard + weightLong*long + r.longPrior + weightRecent*recent) >> weightBits
}
