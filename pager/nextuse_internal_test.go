package pager

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// scanned is nextuse, checked at each eviction against a scan of all residents.
type scanned struct {
	*nextUse
	t         *testing.T
	resident  []bool
	touched   []int64
	evictions int
}

func (s *scanned) Touch(e ExpertID) {
	s.nextUse.Touch(e)
	s.touched[e] = s.touches
}

func (s *scanned) Insert(e ExpertID, prefetch bool) {
	s.nextUse.Insert(e, prefetch)
	s.resident[e], s.touched[e] = true, s.touches
}

func (s *scanned) Evict() ExpertID {
	slots := 0
	for _, r := range s.resident {
		if r {
			slots++
		}
	}
	for l := range s.due {
		if f := &s.heaps.fronts[l]; f.size > 0 && f.state == outdated {
			s.rank(l)
		}
	}
	best, bestNext := NoExpert, int64(-1)
	for l := range s.due {
		top, size := s.scanLayer(l)
		if size == 0 {
			continue
		}
		layers := int64(s.shape.Layers)
		wait := layers*one*(1<<waitBits)/top.chance() - layers<<waitBits
		next := s.due[l]<<waitBits + min(wait, maxWait)
		if s.overlap && size*s.shape.Layers > slots+s.shape.Layers-1 {
			next += layers << waitBits // more than the layer's share
		}
		if next > bestNext || next == bestNext && s.touched[top.expert()] < s.touched[best] {
			best, bestNext = top.expert(), next
		}
	}
	got := s.nextUse.Evict()
	if got != best {
		s.t.Fatalf("eviction %d: got expert %d, a scan finds expert %d",
			s.evictions, got, best)
	}
	s.resident[got] = false
	s.evictions++
	return got
}

// scanLayer counts the residents of layer l that may go, and finds the one that is least
// likely to be used next.
func (s *scanned) scanLayer(l int) (top member, size int) {
	for i := range s.shape.Experts {
		e := s.shape.ID(l, i)
		if !s.resident[e] || slices.Contains(s.newest, e) {
			continue // the newest misses may not go yet
		}
		m := s.heaps.members(l)[s.heaps.place[e]]
		if touched := s.heaps.touched[e]; m.expert() != e || touched != s.touched[e] {
			s.t.Fatalf("expert %d: the heap has expert %d, touched %d, want touched %d",
				e, m.expert(), touched, s.touched[e])
		}
		if size++; size == 1 || m.chance() < top.chance() ||
			m.chance() == top.chance() && s.touched[e] < s.touched[top.expert()] {
			top = m
		}
	}
	return top, size
}

func TestNextUseEqualsScan(t *testing.T) {
	for _, c := range []struct{ experts, slots int }{
		{20, 2}, {20, 5}, {20, 17}, {20, 40},
		{500, 2}, {500, 17}, {500, 100}, // many are used for the first time: equal chances
	} {
		for _, order := range []Order{ResidentFirst, Ascending} {
			evictions := nextUseEvictions(t, Shape{Layers: 3, Experts: c.experts, TopK: 2}, c.slots, order)
			if evictions < 1000 {
				t.Errorf("%d experts, %d slots, %v: %d evictions test too little",
					c.experts, c.slots, order, evictions)
			}
		}
	}
}

// nextUseEvictions counts the evictions that it compares with a scan.
func nextUseEvictions(t *testing.T, shape Shape, slots int, order Order) int {
	rng := rand.New(rand.NewPCG(1, 0))
	policy := &scanned{
		nextUse: newNextUse("nextuse", shape, defaultWindow), t: t,
		resident: make([]bool, shape.Universe()), touched: make([]int64, shape.Universe()),
	}
	p, err := New(Options{Shape: shape, Slots: slots, Policy: policy, Order: order})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		layer := i % shape.Layers
		var experts []ExpertID
		for range 1 + rng.IntN(4) {
			u := rng.Float64()
			experts = append(experts, shape.ID(layer, int(u*u*float64(shape.Experts))))
		}
		slices.Sort(experts)
		if i%5 == 0 {
			ahead := shape.ID((layer+1)%shape.Layers, rng.IntN(shape.Experts))
			if err := p.Prefetch([]ExpertID{ahead}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.Request(Group{Layer: layer, Experts: slices.Compact(experts)}); err != nil {
			t.Fatal(err)
		}
	}
	return policy.evictions
}

func TestHazard(t *testing.T) {
	// One layer of 3 experts: 0 is used every turn, 1 every third, 2 once at the start.
	h := newHazard(one/4, 1)
	const turns = 600
	habits := []habit{{last: turns}, {last: turns - turns%3}, {last: 1}}
	for range turns - 1 {
		h.reused(1)
	}
	for range turns/3 - 1 {
		h.reused(3)
	}
	h.learn(turns, habits, []int64{turns})
	for _, c := range []struct {
		age  int64
		want float64
	}{
		{1, 599. / 799},         // of all gaps that reached age 1
		{2, 0}, {3, 199. / 200}, // expert 2 passed there, too
		{4, 0}, {300, 0},
	} {
		got := float64(h.at(c.age)) / float64(one)
		// The prior weighs as much as 8 gaps: visible where few reached the age.
		if reached := 1.; c.age > 3 && math.Abs(got-8*.25/(reached+8)) > .23 {
			t.Errorf("h(%d): got %.3f, want little", c.age, got)
		} else if c.age <= 3 && math.Abs(got-c.want) > .04 {
			t.Errorf("h(%d): got %.3f, want about %.3f", c.age, got, c.want)
		}
	}
}

func TestHazardOfLongGaps(t *testing.T) {
	// Above the last age each further turn is one more chance that was not taken, in
	// gaps that have ended and in those that are still open.
	const gap, ended = 10 * hazardAges, 100
	for _, open := range []int{0, 300} {
		h := newHazard(one/2, 1)
		for range ended {
			h.reused(gap)
		}
		habits := make([]habit, open+1)
		for i := range open {
			habits[i].last = 1 // gap turns ago
		}
		h.learn(0, habits, []int64{gap + 1})
		got := float64(h.at(gap)) / float64(one)
		want := ended / float64((ended+open)*(gap-hazardAges+1))
		if got < want*.9 || got > want*1.1 {
			t.Errorf("%d open gaps: h(%d): got %.6f, want about %.6f", open, gap, got, want)
		}
	}
}

func TestHazardDoesNotOverflow(t *testing.T) {
	h := newHazard(one/2, 1)
	if got, want := h.smoothed(1<<50, 1<<51), one/2; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

func TestHazardIsDrawnRarely(t *testing.T) {
	h := newHazard(one/2, 1)
	drawn := 0
	for clock := int64(1); clock <= 100000; clock++ {
		if h.stale(clock) {
			h.learn(clock, []habit{{}}, []int64{clock})
			drawn++
		}
	}
	if drawn < 50 || drawn > 250 {
		t.Errorf("the curve was drawn %d times in 100000 turns, want some 170", drawn)
	}
}

// The chance in fixed point against the rule as its comment tells it, in floats.
func TestNextUseChance(t *testing.T) {
	shape := Shape{Layers: 1, Experts: 10, TopK: 2}
	p := newNextUse("nextuse", shape, 8)
	rng := rand.New(rand.NewPCG(2, 0))
	uses := make([][]int, shape.Experts) // turns
	const turns = 150
	for turn := 1; turn <= turns; turn++ {
		e := ExpertID(rng.IntN(1 + turn%9)) // 9 is never used
		uses[e] = append(uses[e], turn)
		p.Begin(0, nil, []ExpertID{e})
	}
	prior := 2. / 10
	for e, used := range uses {
		want := prior
		if len(used) > 0 {
			recent, weight := 8*prior/8, 1-math.Pow(7./8, turns)+8./8
			for _, turn := range used {
				recent += math.Pow(7./8, float64(turns-turn)) / 8
			}
			long := (float64(len(used)) + 8*prior) / (turns + 8)
			hazard := float64(p.hazard.at(int64(turns+1-used[len(used)-1]))) / float64(one)
			want = (weightHazard*hazard + weightLong*long + weightRecent*recent/weight) / 16
		}
		if got := float64(p.member(0, ExpertID(e)).chance()) / float64(one); math.Abs(got-want) > 1e-5 {
			t.Errorf("expert %d: got chance %.6f, want %.6f", e, got, want)
		}
	}
}
