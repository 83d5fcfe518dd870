package generate

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"ufm/moe"
	"ufm/pager"
)

// Report is the outcome of a Generate. Nil is unknown, or does not apply.
type Report struct {
	PromptIDs []int32 `json:"prompt_ids"`
	OutputIDs []int32 `json:"output_ids"` // with the id that ended the text
	Text      *string `json:"text"`       // what the output ids say, up to a stop
	Finish    Finish  `json:"finish"`

	TimeToFirstTokenMs *float64 `json:"time_to_first_token_ms"`
	Prefill            Phase    `json:"prefill"`
	Decode             Phase    `json:"decode"`

	Model           string `json:"model"`
	Backend         string `json:"backend"`
	Device          string `json:"device"`
	Driver          string `json:"driver"`
	Policy          string `json:"policy"`
	Slots           int    `json:"slots"`
	BudgetBytes     int64  `json:"budget_bytes"`
	PeakDeviceBytes int64  `json:"peak_device_bytes"`
	Context         int    `json:"context"`
	Prefetch        string `json:"prefetch"` // with what auto decided, and why
}

// Finish tells why a text ended.
type Finish string

// The reasons.
const (
	FinishLength      Finish = "length"  // as many tokens as asked for
	FinishEnd         Finish = "end"     // the model ended it
	FinishStop        Finish = "stop"    // one of the strings to stop at
	FinishContext     Finish = "context" // no position is left
	FinishInterrupted Finish = "interrupted"
	FinishFailed      Finish = "failed"
)

// Phase is an account of the steps of one phase.
type Phase struct {
	Tokens     int      `json:"tokens"`
	Steps      int      `json:"steps"`
	Ms         float64  `json:"ms"` // from the phase's begin to its end, sampling and printing too
	TokensPerS *float64 `json:"tokens_per_s"`

	Hits          int64    `json:"hits"`
	LateHits      int64    `json:"late_hits"`
	Misses        int64    `json:"misses"`
	HitRate       *float64 `json:"hit_rate"`
	Uploads       int64    `json:"uploads"`
	BytesPerToken *float64 `json:"bytes_per_token"` // of experts moved

	Prefetches        int64    `json:"prefetches"`
	PrefetchUsed      int64    `json:"prefetch_used"`
	PrefetchWasted    int64    `json:"prefetch_wasted"`
	PrefetchPrecision *float64 `json:"prefetch_precision"` // used / prefetches

	StallMs *float64 `json:"stall_ms"` // of a step: the compute queue waited for uploads
}

// meter adds steps up to a Phase.
type meter struct {
	runner moe.TextRunner
	stats  pager.Stats // at its start
	moved  int64
	tokens int
	steps  int
	begun  time.Time
	stall  time.Duration
	timed  bool // so is every step
}

func newMeter(r moe.TextRunner) *meter {
	return &meter{runner: r, stats: r.Stats(), moved: r.Moved(), begun: time.Now(), timed: true}
}

func (m *meter) add(tokens int, t moe.StepTimes) {
	m.tokens += tokens
	m.steps++
	m.stall += t.Stall
	m.timed = m.timed && t.Timed
}

func (m *meter) phase() Phase {
	wall := time.Since(m.begun)
	s := m.runner.Stats().Sub(m.stats)
	p := Phase{
		Tokens: m.tokens, Steps: m.steps, Ms: milliseconds(wall),
		Hits: s.Hits, LateHits: s.LateHits, Misses: s.Misses, Uploads: s.Uploads,
		Prefetches: s.Prefetches, PrefetchUsed: s.PrefetchUsed, PrefetchWasted: s.PrefetchWasted,
		HitRate:           ratio(float64(s.Hits), float64(s.Accesses)),
		TokensPerS:        ratio(float64(m.tokens), wall.Seconds()),
		BytesPerToken:     ratio(float64(m.runner.Moved()-m.moved), float64(m.tokens)),
		PrefetchPrecision: ratio(float64(s.PrefetchUsed), float64(s.Prefetches)),
	}
	if m.tokens == 0 {
		p.TokensPerS = nil // none were asked for: that is no speed
	}
	if m.timed && m.steps > 0 {
		p.StallMs = new(milliseconds(m.stall) / float64(m.steps))
	}
	return p
}

// ratio is nil where it has no meaning.
func ratio(a, b float64) *float64 {
	if b == 0 {
		return nil
	}
	return new(a / b)
}

// Lines tell people what it cost.
func (r *Report) Lines() []string {
	first := ""
	if r.TimeToFirstTokenMs != nil {
		first = fmt.Sprintf(", first token after %.3g ms", *r.TimeToFirstTokenMs)
	}
	lines := r.Prefill.lines("prefill", first)
	if r.Decode.Steps > 0 {
		lines = append(lines, r.Decode.lines("decode", "")...)
	}
	return append(lines, fmt.Sprintf("ended by: %s; prefetch %s", r.Finish, r.Prefetch))
}

// lines are those of the phase of that name, more behind the first.
func (p Phase) lines(name, more string) []string {
	lines := []string{name + ": " + p.line() + more}
	if p.Prefetches > 0 {
		lines = append(lines, fmt.Sprintf("prefetches of %s: %d, used %d, too late %d, wasted %d",
			name, p.Prefetches, p.PrefetchUsed, p.LateHits, p.PrefetchWasted))
	}
	return lines
}

func (p Phase) line() string {
	line := fmt.Sprintf("%d tokens in %.3g ms", p.Tokens, p.Ms)
	if p.TokensPerS != nil {
		line += fmt.Sprintf(" (%.4g tokens/s)", *p.TokensPerS)
	}
	if p.HitRate != nil {
		line += fmt.Sprintf(", %d of %d experts were resident (%.1f %%)",
			p.Hits, p.Hits+p.Misses, 100**p.HitRate)
	}
	if p.BytesPerToken != nil {
		line += fmt.Sprintf(", %s moved a token", humanize.IBytes(uint64(*p.BytesPerToken)))
	}
	return line
}
