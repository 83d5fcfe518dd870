package compare

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ufm/bench"
	"ufm/bench/sweep"
)

// newFolder has a row for each mode, whose steps take about so many milliseconds; 0 is
// out of memory.
func newFolder(t *testing.T, keepSteps bool, ms map[string]float64) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 3))
	var rows []bench.Row
	samples := ""
	for _, mode := range []string{"baseline", "naive", "published", "ufm"} {
		median, there := ms[mode]
		if !there {
			continue
		}
		r := bench.Row{Schema: bench.RowSchema, Mode: mode, Experts: 4, Tokens: 8, Status: bench.StatusOOM}
		if median > 0 {
			r.Status, r.StepMsMedian, r.TokensPerS = bench.StatusOK, &median, new(8000/median)
			s := sweep.Sample{Cell: len(rows)}
			for range 40 {
				s.StepMs = append(s.StepMs, median*(0.97+0.06*rng.Float64()))
			}
			text, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			samples += string(text) + "\n"
		}
		rows = append(rows, r)
	}
	var b strings.Builder
	err := bench.Write(&b, "jsonl", rows)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, sweep.RowsFile), []byte(b.String()), 0o644)
	}
	if err == nil && keepSteps {
		err = os.WriteFile(filepath.Join(dir, sweep.SamplesFile), []byte(samples), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFolders(t *testing.T) {
	a := newFolder(t, true, map[string]float64{"baseline": 10, "naive": 10, "published": 10, "ufm": 10})
	for _, c := range []struct {
		name string
		b    map[string]float64
		want map[string]Mark
		fail string // the modes that are slower by 5 %
	}{
		{"alike", map[string]float64{"baseline": 10, "naive": 10, "published": 10, "ufm": 10.01},
			map[string]Mark{"baseline": Alike, "naive": Alike, "published": Alike, "ufm": Alike}, ""},
		{"slower", map[string]float64{"baseline": 10, "naive": 10.3, "published": 11, "ufm": 20},
			map[string]Mark{"naive": Slow, "published": Slow, "ufm": Slow}, "published ufm"},
		{"faster", map[string]float64{"baseline": 5, "naive": 10, "published": 10, "ufm": 10},
			map[string]Mark{"baseline": Faster}, ""},
		{"out of memory", map[string]float64{"baseline": 0, "naive": 10, "published": 10, "ufm": 10},
			map[string]Mark{"baseline": Changed}, "baseline"},
		{"missing", map[string]float64{"baseline": 10, "published": 10, "ufm": 10},
			map[string]Mark{"naive": OnlyA}, "naive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cells, err := Folders(a, newFolder(t, true, c.b))
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range cells {
				mode, _, _ := strings.Cut(got.Name, ",")
				if want, ok := c.want[mode]; ok && got.Mark != want {
					t.Errorf("%s: got %+v, want %s", mode, got, want)
				}
				if r := got.Ratio; r != nil && (*got.Low > *r || *r > *got.High) {
					t.Errorf("%s: ratio %v outside its interval %v to %v", mode, *r, *got.Low, *got.High)
				}
			}
			var slower []string
			for _, s := range Slower(cells, 0.05) {
				mode, _, _ := strings.Cut(s.Name, ",")
				slower = append(slower, mode)
			}
			if got := strings.Join(slower, " "); got != c.fail {
				t.Errorf("slower by 5 %%: got %q, want %q", got, c.fail)
			}
		})
	}
}

// Without the times of steps a ratio is all that can be said.
func TestFoldersWithoutSteps(t *testing.T) {
	a := newFolder(t, false, map[string]float64{"ufm": 10})
	cells, err := Folders(a, newFolder(t, false, map[string]float64{"ufm": 20, "naive": 1}))
	if err != nil || len(cells) != 2 {
		t.Fatalf("%d cells, %v", len(cells), err)
	}
	if c := cells[0]; c.Mark != Unsure || *c.Ratio != 0.5 || c.Low != nil {
		t.Errorf("got %+v", c)
	}
	if cells[1].Mark != OnlyB {
		t.Errorf("got %+v", cells[1])
	}
	if got := Slower(cells, 0.05); len(got) != 1 {
		t.Errorf("slower: %+v", got)
	}
}

// Nineteen of twenty intervals of equal samples hold 1, or nearly so many: a
// bootstrap of the median is known to be a little narrow on few steps.
func TestIntervalCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	normal := func() []float64 {
		v := make([]float64, 60)
		for i := range v {
			v[i] = 10 + rng.NormFloat64()
		}
		return v
	}
	covered := 0
	const tries = 40
	for range tries {
		if low, high, ok := Interval(normal(), normal()); ok && low <= 1 && 1 <= high {
			covered++
		}
	}
	if covered < 33 {
		t.Errorf("%d of %d intervals hold the truth, want about 38", covered, tries)
	}
	if _, _, ok := Interval(normal()[:4], normal()); ok {
		t.Error("four steps give an interval")
	}
}
