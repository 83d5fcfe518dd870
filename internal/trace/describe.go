package trace

import "slices"

// Description is what a trace looks like to a pager.
type Description struct {
	Model      string `json:"model"`
	Layers     int    `json:"layers"`
	Experts    int    `json:"experts"` // of a layer
	TopK       int    `json:"top_k"`
	Bank       int    `json:"bank"` // experts of all layers
	Tokens     int    `json:"tokens"`
	Steps      int    `json:"steps"`
	TokenCycle int    `json:"token_cycle"` // slots that a decoded token needs
	Uses       []Use  `json:"uses"`        // all layers first, then layer by layer
}

// Use is how the steps of a phase used the experts of a layer. An access is one expert
// of one group, however many tokens were sent to it, as the pager counts.
type Use struct {
	Layer    *int   `json:"layer"` // nil: all layers
	Phase    string `json:"phase"` // "all", "prefill" or "decode"
	Steps    int    `json:"steps"`
	Tokens   int    `json:"tokens"`
	Accesses int    `json:"accesses"`
	Distinct int    `json:"distinct"` // experts used

	// HotShare is the share of accesses that went to the hottest tenth of the experts,
	// used or not, and at least one.
	HotShare float64 `json:"hot_share"`

	// Reuse distances of those accesses that were no first use: how many other experts
	// were used since, in either phase and any layer. LRU with more slots hits. Nil if
	// nothing was used twice.
	ReuseMedian *int `json:"reuse_median"`
	ReuseP90    *int `json:"reuse_p90"`
	ReuseP99    *int `json:"reuse_p99"`
	ReuseMax    *int `json:"reuse_max"`
}

// Describe walks the trace once. Memory grows with the experts of all layers.
func (t *Trace) Describe() Description {
	bank := t.Layers * t.Experts
	d := Description{
		Model: t.Model, Layers: t.Layers, Experts: t.Experts, TopK: t.TopK, Bank: bank,
		Tokens: t.Tokens(), Steps: len(t.StepSizes), TokenCycle: t.Layers * t.TopK,
	}
	tallies := make([][2]tally, t.Layers) // by layer and phase
	for l := range tallies {
		tallies[l] = [2]tally{newTally(t.Experts), newTally(t.Experts)}
	}
	r := newReuse(bank)
	for g := range t.Groups() {
		y := &tallies[g.Layer][g.Phase]
		y.steps++
		for _, e := range g.Experts {
			y.accesses[int(e)-g.Layer*t.Experts]++
			if distance := r.use(int(e)); distance >= 0 {
				y.distances.add(distance, 1)
			}
		}
	}
	t.countTokens(tallies)
	d.Uses = append(d.Uses, uses(nil, t.phaseTotals(tallies))...)
	for l := range tallies {
		d.Uses = append(d.Uses, uses(&l, tallies[l])...)
	}
	return d
}

// tally counts what happened in a phase.
type tally struct {
	steps, tokens int
	accesses      counts // by expert
	distances     counts // by reuse distance
}

func newTally(experts int) tally { return tally{accesses: make(counts, experts)} }

// counts is how often each number occurred. It grows with the largest.
type counts []int

func (c *counts) add(number, times int) {
	if missing := number + 1 - len(*c); missing > 0 {
		*c = append(*c, make(counts, missing)...)
	}
	(*c)[number] += times
}

func (c *counts) addAll(other counts) {
	for number, times := range other {
		c.add(number, times)
	}
}

// countTokens counts the tokens that are routed in each layer.
func (t *Trace) countTokens(tallies [][2]tally) {
	token := 0
	for step, size := range t.StepSizes {
		for range size {
			for layer := range t.Layers {
				if t.Row(token, layer)[0] >= 0 {
					tallies[layer][t.Phases[step]].tokens++
				}
			}
			token++
		}
	}
}

// phaseTotals adds up the layers of each phase; steps and tokens are the trace's.
func (t *Trace) phaseTotals(tallies [][2]tally) [2]tally {
	var totals [2]tally
	for phase := range totals {
		y := newTally(0)
		for l := range tallies {
			y.accesses = append(y.accesses, tallies[l][phase].accesses...)
			y.distances.addAll(tallies[l][phase].distances)
		}
		for step, size := range t.StepSizes {
			if int(t.Phases[step]) == phase {
				y.steps++
				y.tokens += int(size)
			}
		}
		totals[phase] = y
	}
	return totals
}

// uses makes rows: all phases together if both occur, then each that does.
func uses(layer *int, phases [2]tally) []Use {
	var rows []Use
	prefill, decode := phases[Prefill], phases[Decode]
	if prefill.steps > 0 && decode.steps > 0 {
		all := tally{
			steps: prefill.steps + decode.steps, tokens: prefill.tokens + decode.tokens,
			accesses: slices.Clone(prefill.accesses), distances: slices.Clone(prefill.distances),
		}
		all.accesses.addAll(decode.accesses)
		all.distances.addAll(decode.distances)
		rows = append(rows, all.use(layer, "all"))
	}
	if prefill.steps > 0 {
		rows = append(rows, prefill.use(layer, "prefill"))
	}
	if decode.steps > 0 {
		rows = append(rows, decode.use(layer, "decode"))
	}
	return rows
}

func (y tally) use(layer *int, phase string) Use {
	u := Use{Layer: layer, Phase: phase, Steps: y.steps, Tokens: y.tokens}
	for _, n := range y.accesses {
		u.Accesses += n
		if n > 0 {
			u.Distinct++
		}
	}
	hottest := slices.Clone(y.accesses)
	slices.Sort(hottest)
	hot := 0
	for _, n := range hottest[len(hottest)-max(len(hottest)/10, 1):] {
		hot += n
	}
	u.HotShare = float64(hot) / float64(max(u.Accesses, 1))
	u.ReuseMedian, u.ReuseP90 = y.quantile(50), y.quantile(90)
	u.ReuseP99, u.ReuseMax = y.quantile(99), y.quantile(100)
	return u
}

// quantile is the least distance that percent of all do not exceed.
func (y tally) quantile(percent int) *int {
	total := 0
	for _, n := range y.distances {
		total += n
	}
	sum := 0
	for distance, n := range y.distances {
		if sum += n; n > 0 && sum*100 >= total*percent {
			return &distance
		}
	}
	return nil
}
