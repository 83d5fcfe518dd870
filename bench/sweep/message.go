package sweep

import (
	"ufm/bench"
	"ufm/internal/hardware"
)

// request is what a child reads first. Then its standard input stays open as long as
// the parent lives: its end is the child's.
type request struct {
	Backend  string             `json:"backend"` // auto, vulkan, cpu
	Device   string             `json:"device"`  // "": the best
	Traces   string             `json:"traces"`  // their folder
	RunID    string             `json:"run_id"`
	Ceilings *hardware.Ceilings `json:"ceilings"` // nil: those kept on this machine, or measured now
	Cells    []Cell             `json:"cells"`    // of one bank; none: only describe the machine
}

// message is a line that a child writes: one of its fields is set.
type message struct {
	Machine  *Machine  `json:"machine,omitempty"`
	Progress *progress `json:"progress,omitempty"`
	Note     string    `json:"note,omitempty"`
	Row      *finished `json:"row,omitempty"`
	Failed   *failure  `json:"failed,omitempty"` // the rest of the cells cannot run
}

type progress struct {
	What  string `json:"what"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// finished is a cell's row with the times behind its median.
type finished struct {
	Row    bench.Row `json:"row"`
	StepMs []float64 `json:"step_ms"` // nil: it has no figures
}

type failure struct {
	Status bench.Status `json:"status"`
	Error  string       `json:"error"`
}
