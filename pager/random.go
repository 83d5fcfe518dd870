package pager

import (
	"fmt"
	"math/rand/v2"
)

// random evicts any resident, all equally likely, by a seeded generator: Belady, "A
// study of replacement algorithms for a virtual-storage computer", IBM Systems
// Journal, 1966.
type random struct {
	residents []ExpertID // in no order
	rng       *rand.Rand
	seed      int
}

const defaultSeed = 1

func newRandom(slots, seed int) *random {
	return &random{
		residents: make([]ExpertID, 0, slots),
		rng:       rand.New(rand.NewPCG(uint64(seed), 0)),
		seed:      seed,
	}
}

func (p *random) Name() string {
	if p.seed == defaultSeed {
		return "random"
	}
	return fmt.Sprintf("random:seed=%d", p.seed)
}

func (*random) Begin(int, []ExpertID, []ExpertID) {}

func (*random) Touch(ExpertID) {}

func (p *random) Insert(e ExpertID, _ bool) { p.residents = append(p.residents, e) }

func (p *random) Evict() ExpertID {
	if len(p.residents) == 0 {
		panic("pager: random: evict from an empty pool")
	}
	i, last := p.rng.IntN(len(p.residents)), len(p.residents)-1
	e := p.residents[i]
	p.residents[i] = p.residents[last]
	p.residents = p.residents[:last]
	return e
}
