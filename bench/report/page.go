package report

import (
	"fmt"
	"strings"
	"time"

	"ufm/bench/sweep"
)

// page is what both reports show.
type page struct {
	RunID       string
	Environment []pair
	Missing     int  // cells without a row
	Modeled     bool // there are predictions
	Sections    []section
}

type pair struct{ Name, Value string }

// section is one preset's part.
type section struct {
	Preset    string
	About     string
	Common    []pair // columns that are the same in all rows
	Header    []string
	Rows      [][]string
	Sentences []string // what happened to each row, and what would help
	Figures   []figure
	Published []publishedPoint
}

// asked and answered are the columns that a table shows where they vary, and where a
// row has a figure.
var (
	asked = []string{
		"mode", "layers", "experts", "d_model", "d_hidden", "top_k", "form", "dtype", "routing",
		"tokens", "seed", "phase", "policy", "bank_bytes", "budget_bytes", "slots",
	}
	answered = []string{
		"status", "tokens_per_s", "step_ms_median", "step_ms_p10", "step_ms_p90", "step_ms_mean", "limit_ms",
		"limit_by", "limit_fraction", "chain_ms", "hits", "misses", "uploads", "belady_uploads",
		"compute_ms", "upload_ms", "stall_ms", "link_fraction", "peak_device_bytes", "nvml_bytes",
		"steps", "nmse",
	}
)

func newPage(r results, figures []figure) page {
	p := page{
		RunID: r.env.RunID, Environment: environment(r.env),
		Missing: len(r.plan.Cells) - len(r.rows), Modeled: r.modeled != nil,
	}
	for _, g := range r.groups() {
		s := newSection(g, r.env.Machine.Device.Unified)
		for _, f := range figures {
			if f.inPreset == g.preset {
				s.Figures = append(s.Figures, f)
			}
		}
		p.Sections = append(p.Sections, s)
	}
	return p
}

func newSection(g group, unified bool) section {
	s := section{Preset: g.preset, About: sweep.About(g.preset)}
	if g.isPublished() {
		s.Published = published
	}
	var shown []string
	for _, c := range asked {
		if g.varies(c) || c == "mode" {
			shown = append(shown, c)
		} else if g.rows[0].Show(c) != "-" {
			s.Common = append(s.Common, pair{c, g.rows[0].Show(c)})
		}
	}
	for _, c := range answered {
		if g.known(c) {
			shown = append(shown, c)
		}
	}
	s.Header = shown
	for _, r := range g.rows {
		cells := make([]string, len(shown))
		for i, c := range shown {
			cells[i] = r.Show(c)
		}
		s.Rows = append(s.Rows, cells)
	}
	for i, name := range g.names(g.rows) {
		s.Sentences = append(s.Sentences, g.sentence(name, g.rows[i], unified))
	}
	return s
}

// known tells whether any row has a figure in a column.
func (g group) known(column string) bool {
	for _, r := range g.rows {
		if r.Show(column) != "-" {
			return true
		}
	}
	return false
}

// environment is told from environment.json alone.
func environment(e sweep.Environment) []pair {
	m := e.Machine
	commit := "unknown"
	if e.Version.Commit != nil {
		commit = *e.Version.Commit
	}
	pairs := []pair{
		{"device", fmt.Sprintf("%s (%s), %s", m.Device.Name, m.Backend, m.Device.Driver)},
		{"device memory", sizeOf(m.Device.MemBytes)},
		{"host", fmt.Sprintf("%s, %d cores, %s", m.Host.CPU, m.Host.Cores, sizeOf(m.Host.RAMBytes))},
		{"system", fmt.Sprintf("%s, kernel %s, %s", m.Host.OS, m.Host.Kernel, m.Host.GoVersion)},
		{"commit", commit},
		{"started", e.Started.Format(time.RFC3339)},
		{"ceilings", fmt.Sprintf("read %.4g GB/s, link %.4g GB/s, f32 %.4g TFLOP/s",
			m.Ceilings.ReadGBs, m.Ceilings.LinkGBs, m.Ceilings.F32TFlops)},
	}
	for _, c := range m.Cards {
		pairs = append(pairs, pair{"card before", cardInWords(c)})
	}
	for _, c := range e.CardsAfter {
		pairs = append(pairs, pair{"card after", cardInWords(c)})
	}
	return pairs
}

func cardInWords(c sweep.Card) string {
	words := []string{c.Name}
	add := func(format string, v *int) {
		if v != nil {
			words = append(words, fmt.Sprintf(format, *v))
		}
	}
	add("PCIe gen %d", c.LinkGen)
	add("× %d", c.LinkWidth)
	add("%d MHz", c.ClockMHz)
	add("memory at %d MHz", c.MemoryMHz)
	if c.PowerW != nil {
		words = append(words, fmt.Sprintf("%.0f W", *c.PowerW))
	}
	add("%d °C", c.TemperatureC)
	return strings.Join(words, ", ")
}
