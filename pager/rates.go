package pager

// rates turn habits of a layer's experts into chances. They hold what these share, so that
// no expert needs a division, in the units of a member: there the weighted estimates are but
// added, and an expert takes the place of the bits below a chance.
type rates struct {
	turn      int64 // turns of the layer so far
	perUse    int64 // 1 / (turns + those of the prior), weighted
	perRecent int64 // 1 / (windowed weight of all turns + that of the prior), weighted
	priors    int64 // the prior's part of both
	unused    int64 // chance of an expert of which nothing is known
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
	weight := one - p.age(turn).fading + p.priorWeight
	r.turn = turn
	r.perUse = weightLong * (sixteenth / (turn + priorTurns))
	r.perRecent = weightRecent * sixteenth / weight
	long := weightLong * (sixteenth >> oneBits) * (priorTurns * p.prior / (turn + priorTurns))
	r.priors = long + p.recentPrior*r.perRecent
	r.unused = p.prior << expertBits
}

// member is e with its p before the next turn, at that age, but for rounding at the ends.
func (r *rates) member(h *habit, a *byAge, e ExpertID) member {
	sum := a.hazard + r.priors + h.uses*r.perUse + (h.recent*a.fading>>oneBits)*r.perRecent
	if h.last == 0 {
		sum = r.unused
	}
	return member(sum&^(1<<expertBits-1) | int64(e))
}

// rank gives members their chances and finds the least. The policy spends most of its time
// here.
func (r *rates) rank(members []member, habits []habit, ages []byAge) least {
	l := nothing
	for i, m := range members {
		e := m.expert()
		h := &habits[e]
		m = r.member(h, ageOf(ages, r.turn-h.last), e)
		members[i] = m
		l = l.and(m)
	}
	return l
}
