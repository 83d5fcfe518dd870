package sweep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"ufm/bench"
)

// Files of a results folder. Reports and plots are made from these.
const (
	RowsFile        = "rows.jsonl"
	SamplesFile     = "samples.jsonl"
	PlanFile        = "plan.json"
	EnvironmentFile = "environment.json"
	CSVFile         = "rows.csv"
)

// Sample is the times behind a row's median. At most maxSamples are kept, evenly
// spread over the window.
type Sample struct {
	Cell   int       `json:"cell"` // from 0: the row's line
	StepMs []float64 `json:"step_ms"`
}

const maxSamples = 200

// Environment is what rows have in common.
type Environment struct {
	RunID    string    `json:"run_id"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"` // zero: it is not complete
	Version  Version   `json:"version"`
	Machine  Machine   `json:"machine"` // before the first cell
	// CardsAfter are the cards when the sweep last ended: hot, or slowed down.
	CardsAfter []Card `json:"cards_after"`
}

// folder is an open results folder.
type folder struct {
	dir     string
	lock    *flock.Flock
	rows    *appender
	samples *appender
	done    []bench.Row
}

// openFolder locks a folder, for two sweeps in one would mix their rows, and cuts off
// what a kill left unfinished.
func openFolder(dir string) (f *folder, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	f = &folder{dir: dir}
	f.lock = flock.New(f.path(RowsFile), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	locked, err := f.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("sweep: lock %s: %w", dir, err)
	}
	if !locked {
		return nil, fmt.Errorf("sweep: another sweep is at work in %s", dir)
	}
	if err := f.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *folder) load() (err error) {
	if f.rows, err = openAppender(f.path(RowsFile), nil); err != nil {
		return err
	}
	if f.done, err = bench.ReadRows(f.rows.content(), f.path(RowsFile)); err != nil {
		return err
	}
	// Samples are written before their row: those of rows that did not follow are void.
	f.samples, err = openAppender(f.path(SamplesFile), func(line []byte) bool {
		var s Sample
		return json.Unmarshal(line, &s) == nil && s.Cell < len(f.done)
	})
	return err
}

// add appends a row, synced: it is there for good when add returns.
func (f *folder) add(r finished) error {
	if r.StepMs != nil {
		if err := f.samples.add(Sample{Cell: len(f.done), StepMs: thin(r.StepMs, maxSamples)}); err != nil {
			return err
		}
	}
	if err := f.rows.add(r.Row); err != nil {
		return err
	}
	f.done = append(f.done, r.Row)
	return nil
}

// thin keeps at most n values, evenly spread.
func thin(values []float64, n int) []float64 {
	if len(values) <= n {
		return values
	}
	kept := make([]float64, n)
	for i := range kept {
		kept[i] = values[i*len(values)/n]
	}
	return kept
}

// writeCSV writes the rows once more.
func (f *folder) writeCSV() error {
	return replace(f.path(CSVFile), func(w io.Writer) error { return bench.Write(w, "csv", f.done) })
}

func (f *folder) writeJSON(name string, v any) error {
	return replace(f.path(name), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	})
}

// Close unlocks the folder.
func (f *folder) Close() error {
	var errs []error
	for _, a := range []*appender{f.rows, f.samples} {
		if a != nil {
			errs = append(errs, a.file.Close())
		}
	}
	return errors.Join(append(errs, f.lock.Close())...)
}

// replace writes a file so that readers see the old one or the new one.
func replace(path string, write func(io.Writer) error) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	err = write(temporary)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("sweep: write %s: %w", path, errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}
