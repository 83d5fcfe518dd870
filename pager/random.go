package pager

import "math/rand/v2"

// random evicts any resident, all equally likely, by a seeded generator.
type random struct {
	named
	ungrouped
	residents []ExpertID // in no order
	rng       *rand.Rand
}

func newRandom(name string, slots, seed int) *random {
	return &random{
		named:     named(name),
		residents: make([]ExpertID, 0, slots),
		rng:       rand.New(rand.NewPCG(uint64(seed), 0)),
	}
}

func (*random) Touch(ExpertID) {}

func (p *random) Insert(e ExpertID, _ bool) { p.residents = append(p.residents, e) }

func (p *random) Evict() ExpertID {
	if len(p.residents) == 0 {
		p.emptied()
	}
	i, last := p.rng.IntN(len(p.residents)), len(p.residents)-1
	e := p.residents[i]
	p.residents[i] = p.residents[last]
	p.residents = p.residents[:last]
	return e
}
