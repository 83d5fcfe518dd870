package report

import "fmt"

// publishedPoint is one size of the published benchmark on an RTX 4090, in tokens a
// second: "UFM: running a routed model larger than VRAM on a single consumer GPU",
// v0.1.1, proof drop #1. Its peaks of device memory were not published as numbers.
type publishedPoint struct {
	Experts              int
	Resident, Naive, UFM float64 // 0: out of memory
}

var published = []publishedPoint{
	{Experts: 96, Resident: 21017, Naive: 87, UFM: 21174},
	{Experts: 144, Resident: 14374, Naive: 58, UFM: 50},
	{Experts: 192, Resident: 0, Naive: 43, UFM: 37},
}

// What was published of memory.
const (
	publishedBudget = 16 << 30 // for experts
	publishedLimit  = 47 << 29 // 23.5 GiB in all
)

// Bank is the size of all experts for people.
func (p publishedPoint) Bank() string { return fmt.Sprintf("%g GiB", p.bankGiB()) }

// bankGiB is the size of all experts: an eighth of a GiB each in float32.
func (p publishedPoint) bankGiB() float64 { return float64(p.Experts) / 8 }

// isPublished tells whether a group is the published sweep, so that the published
// series belong beside it.
func (g group) isPublished() bool {
	for _, r := range g.rows {
		if r.Layers != 1 || r.DModel != 2048 || r.DHidden != 8192 || r.Tokens != 512 ||
			r.TopK != 2 || r.Form != "gelu" || r.DType != "f32" || r.Routing != "uniform" {
			return false
		}
	}
	return g.varies("experts")
}
