package bench

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"ufm/moe"
)

// headroom is the part of a device's memory that an automatic budget leaves alone: the
// driver needs some, and so do others.
const headroom = 16

// MemoryPlan is what device memory goes to when a whole model runs.
type MemoryPlan struct {
	Device      int64            // what there is
	Parts       []moe.MemoryPart // all but the slots
	Slots       int
	Experts     int // of the model
	ExpertBytes int64
}

// PlanMemory plans memory for a model on b: the slots of a budget, or, if it is
// automatic, as many as fit. limit is the one that the backend was opened with, or 0.
// What does not fit is a *MemoryError.
func PlanMemory(
	b moe.TextBackend, m moe.TextModel, cfg moe.TextConfig, budget Budget, limit int64,
) (MemoryPlan, error) {
	s, d := m.Shape(), b.Device()
	p := MemoryPlan{
		Device: d.MemBytes, Parts: b.TextMemory(cfg, m),
		Experts: s.Layers * s.Experts, ExpertBytes: s.ExpertBytes(),
	}
	auto := budget == Budget{}
	if auto {
		p.Parts = append(p.Parts, moe.MemoryPart{What: "headroom", Bytes: d.MemBytes / headroom})
		if d.Unified && limit == 0 {
			p.Parts = append(p.Parts, moe.MemoryPart{What: "bank (shared memory)", Bytes: s.BankBytes()})
		}
	}
	if d.MemBytes == 0 { // nothing tells: the runner will see
		var err error
		p.Slots, err = budget.Slots(s, s.BankBytes())
		return p, err
	}
	if budget.Bytes > d.MemBytes {
		return p, fmt.Errorf("bench: a budget of %s is above the %s of device memory",
			humanize.IBytes(uint64(budget.Bytes)), humanize.IBytes(uint64(d.MemBytes)))
	}
	free := d.MemBytes
	for _, part := range p.Parts {
		free -= part.Bytes
	}
	if free < s.ExpertBytes() {
		return p, &MemoryError{Plan: p, Free: free, Wanted: s.ExpertBytes()}
	}
	var err error
	if p.Slots, err = budget.Slots(s, free); err != nil {
		return p, err
	}
	if taken := int64(p.Slots) * s.ExpertBytes(); taken > free {
		return p, &MemoryError{Plan: p, Free: free, Wanted: taken}
	}
	return p, nil
}

// MemoryError tells that a device has too little memory for a plan.
type MemoryError struct {
	Plan   MemoryPlan
	Free   int64 // left for slots; negative if even the rest does not fit
	Wanted int64 // by the slots
}

// Error has the whole table.
func (e *MemoryError) Error() string {
	left := "less than nothing is"
	if e.Free >= 0 {
		left = humanize.IBytes(uint64(e.Free)) + " are"
	}
	what := "one expert slot takes"
	if e.Plan.Slots > 0 {
		what = fmt.Sprintf("%d expert slots take", e.Plan.Slots)
	}
	return fmt.Sprintf("bench: %s %s, but %s left for slots on the device "+
		"(a smaller --context or --budget takes less):\n%s", what,
		humanize.IBytes(uint64(e.Wanted)), left, strings.Join(e.Plan.Lines(), "\n"))
}

// Lines are the plan as a table for people.
func (p MemoryPlan) Lines() []string {
	row := func(what string, bytes int64, note string) string {
		return strings.TrimRight(fmt.Sprintf("  %-28s %10s  %s", what,
			humanize.IBytes(uint64(bytes)), note), " ")
	}
	var lines []string
	var sum int64
	for _, part := range p.Parts {
		lines = append(lines, row(part.What, part.Bytes, ""))
		sum += part.Bytes
	}
	slots := int64(p.Slots) * p.ExpertBytes
	lines = append(lines, row("expert slots", slots, fmt.Sprintf("%d of %d experts, %s each",
		p.Slots, p.Experts, humanize.IBytes(uint64(p.ExpertBytes)))))
	switch left := p.Device - sum - slots; {
	case p.Device == 0:
		return lines // unknown
	case left < 0:
		lines = append(lines, row("missing", -left, ""))
	default:
		lines = append(lines, row("free", left, ""))
	}
	return append(lines, row("device", p.Device, ""))
}
