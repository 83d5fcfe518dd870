package pager

import "github.com/hashicorp/golang-lru/v2/simplelru"

// libraryLRU evicts the expert whose last touch is longest ago. It is golang-lru's
// list and map behind the Policy interface, and allocates on each Insert; arraylru
// decides alike without.
type libraryLRU struct {
	named
	ungrouped
	list *simplelru.LRU[ExpertID, struct{}]
}

func newLibraryLRU(name string, slots int) *libraryLRU {
	list, err := simplelru.NewLRU[ExpertID, struct{}](slots, nil)
	if err != nil {
		panic("pager: lru: " + err.Error()) // slots < 1, which New and NewPolicy refuse
	}
	return &libraryLRU{named: named(name), list: list}
}

func (p *libraryLRU) Touch(e ExpertID) { p.list.Get(e) }

func (p *libraryLRU) Insert(e ExpertID, _ bool) { p.list.Add(e, struct{}{}) }

func (p *libraryLRU) Evict() ExpertID {
	e, _, ok := p.list.RemoveOldest()
	if !ok {
		p.emptied()
	}
	return e
}
