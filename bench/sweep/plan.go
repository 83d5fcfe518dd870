package sweep

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"ufm/bench"
	"ufm/moe"
)

// Plan is the cells of a sweep in the order of their rows.
type Plan struct {
	Presets []string `json:"presets"`
	Cells   []Cell   `json:"cells"`
}

// Load makes the plan of some presets, each the name of one that is built in or a
// file, and lists all that is impossible in it. Traces are looked for in a folder; a
// built-in preset's cells that need one are skipped where there is none ("").
func Load(presets []string, traces Traces) (Plan, error) {
	plan := Plan{}
	for _, name := range presets {
		cells, err := openPreset(name)
		if err != nil {
			return plan, err
		}
		plan.Presets = append(plan.Presets, cells[0].Preset)
		plan.Cells = append(plan.Cells, cells...)
	}
	return plan, plan.validate(traces)
}

// Traces is where recorded routings are.
type Traces struct {
	Dir  string                                       // "": nowhere
	Open func(path string) (*moe.RoutingTrace, error) `json:"-"`
}

func (t Traces) loader() traceLoader { return traceLoader(t.Open).in(t.Dir) }

// skip tells why a cell cannot be tried here, or "".
func (t Traces) skip(c Cell) string {
	if name := c.traceName(); name != "" && t.Dir == "" && !filepath.IsAbs(name) {
		return "needs the trace " + name + ", and no folder of traces was given"
	}
	return ""
}

// validate lists every impossible cell.
func (p Plan) validate(traces Traces) error {
	var errs []error
	seen := map[Cell]int{}
	for i, c := range p.Cells {
		if first, twice := seen[c]; twice {
			errs = append(errs, fmt.Errorf("sweep: cell %d (%v): the same as cell %d", i+1, c, first+1))
			continue
		}
		seen[c] = i
		if traces.skip(c) != "" {
			c.Routing = "uniform" // all else can be checked
		}
		if _, err := c.expect(traces.loader()); err != nil {
			errs = append(errs, fmt.Errorf("sweep: cell %d (%v): %w", i+1, p.Cells[i], err))
		}
	}
	return errors.Join(errs...)
}

// expect is the row of the cell on no device in particular.
func (c Cell) expect(load traceLoader) (bench.Row, error) {
	return c.expectOn(Machine{Device: moe.Device{MemBytes: 1 << 62}}, "", load)
}

// expectOn is the row of the cell as far as it is known before it runs.
func (c Cell) expectOn(m Machine, runID string, load traceLoader) (bench.Row, error) {
	all, err := specs([]Cell{c}, load)
	if err != nil {
		return bench.Row{}, err
	}
	all[0].RunID = runID
	rows, err := bench.Expect(m.Backend, m.Device, all[0])
	if err != nil {
		return bench.Row{}, err
	}
	return rows[0], nil
}

// difference names the first thing in which plan q is not p, or "".
func (p Plan) difference(q Plan) string {
	for i := range min(len(p.Cells), len(q.Cells)) {
		a, b := reflect.ValueOf(p.Cells[i]), reflect.ValueOf(q.Cells[i])
		for f := range a.NumField() {
			if x, y := a.Field(f).Interface(), b.Field(f).Interface(); x != y {
				return fmt.Sprintf("%s of cell %d is %v there and %v here",
					a.Type().Field(f).Tag.Get("json"), i+1, x, y)
			}
		}
	}
	if len(p.Cells) != len(q.Cells) {
		return fmt.Sprintf("it has %d cells there and %d here", len(p.Cells), len(q.Cells))
	}
	return ""
}

// readJSON reads a file of the folder. It is not there: found is false.
func readJSON(path string, v any) (found bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return true, fmt.Errorf("sweep: %s: %w", path, err)
	}
	return true, nil
}
