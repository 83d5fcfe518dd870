package pager_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"ufm/pager"
)

// decoding is groups as decode asks for them: of a layer's last choice half stays, and the
// others are more often experts of low index.
func decoding(shape pager.Shape, steps int) []pager.Group {
	rng := rand.New(rand.NewPCG(1, 0))
	last := make([][]int, shape.Layers)
	var groups []pager.Group
	for step := range steps {
		for l := range shape.Layers {
			chosen := slices.Clone(last[l][:len(last[l])/2])
			for len(chosen) < shape.TopK {
				e := int(float64(shape.Experts) * rng.Float64() * rng.Float64())
				if !slices.Contains(chosen, e) {
					chosen = append(chosen, e)
				}
			}
			rng.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
			last[l] = chosen
			g := pager.Group{Step: step, Layer: l, Phase: pager.Decode}
			for _, e := range slices.Sorted(slices.Values(chosen)) {
				g.Experts = append(g.Experts, shape.ID(l, e))
			}
			groups = append(groups, g)
		}
	}
	return groups
}

// BenchmarkRequest times decisions alone, with Qwen3-30B-A3B's numbers of layers and
// experts: every policy, at a tenth and a third of the bank.
func BenchmarkRequest(b *testing.B) {
	shape := pager.Shape{Layers: 48, Experts: 128, TopK: 8}
	groups := decoding(shape, 100)
	for _, name := range pager.PolicyNames() {
		if name == "belady" {
			continue // made for one sequence, which b.Loop repeats
		}
		for _, slots := range []int{shape.Universe() / 10, shape.Universe() / 3} {
			b.Run(fmt.Sprintf("policy=%s/slots=%d", name, slots), func(b *testing.B) {
				policy, err := pager.NewPolicy(name, shape, slots)
				if err != nil {
					b.Fatal(err)
				}
				p, err := pager.New(pager.Options{Shape: shape, Slots: slots, Policy: policy})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				next := 0
				for b.Loop() {
					if _, err := p.Request(groups[next%len(groups)]); err != nil {
						b.Fatal(err)
					}
					next++
				}
				stats := p.Stats()
				b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(stats.Accesses), "ns/access")
				b.ReportMetric(100*float64(stats.Hits)/float64(stats.Accesses), "%hits")
			})
		}
	}
}
