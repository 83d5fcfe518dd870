package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ufm/moe"
)

func TestShow(t *testing.T) {
	oom, full := sampleRows()[0], sampleRows()[1]
	for column, want := range map[string]string{
		"mode": "ufm", "experts": "144", "bank_bytes": "18 GiB", "tokens_per_s": "11,838",
		"limit_fraction": "97.4 %", "limit_by": "link", "nmse": "2.0e-13", "step_ms_median": "43.2",
		"seed": "18446744073709551615", "status": "ok",
	} {
		if got := full.Show(column); got != want {
			t.Errorf("%s: got %q, want %q", column, got, want)
		}
	}
	if got := oom.Show("tokens_per_s"); got != unknown {
		t.Errorf("unknown speed: got %q", got)
	}
	if v, ok := full.Float("slots"); !ok || v != 128 {
		t.Errorf("slots: got %v, %v", v, ok)
	}
	for _, column := range []string{"tokens_per_s", "mode"} {
		if v, ok := oom.Float(column); ok {
			t.Errorf("%s of a row without: got %v", column, v)
		}
	}
}

func TestReadRows(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, "jsonl", sampleRows()); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRows(strings.NewReader(b.String()), "f")
	if diff := cmp.Diff(sampleRows(), got); err != nil || diff != "" {
		t.Errorf("rows differ (-want +got): %v\n%s", err, diff)
	}
	for text, want := range map[string]string{
		b.String() + "{":    "f: line 3",
		`{"schema":99}`:     "schema 99, this version reads 1",
		"not a row at all":  "f: line 1",
		"\n" + b.String():   "f: line 1",
		`{"schema":"one"}`:  "f: line 1",
		`{"schema":1} junk`: "f: line 1",
	} {
		if _, err := ReadRows(strings.NewReader(text), "f"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q in it", text, err, want)
		}
	}
}

// What is expected of a cell is what its row says before its figures.
func TestExpect(t *testing.T) {
	spec := newSpec(t, allModes...)
	spec.RunID = "a run"
	b := newTapped(t, moe.CPUOptions{})
	got, err := Expect(b.Name(), b.Device(), spec)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := Run(t.Context(), b, spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range rows {
		for _, column := range Columns() {
			if g := got[i].Show(column); g != want.Show(column) && g != unknown && column != "time_utc" {
				t.Errorf("%s: %s: expected %s, got %s", want.Mode, column, g, want.Show(column))
			}
		}
	}
}

// stepWatcher is an observer that keeps the times of steps.
type stepWatcher struct {
	watcher
	steps map[string][]float64
}

func (w *stepWatcher) Steps(m moe.Mode, ms []float64) { w.steps[m.String()] = ms }

// A series builds one bank for neighbours with one model, and tells each step's time.
func TestSeries(t *testing.T) {
	one := newSpec(t, moe.Baseline, moe.UFM)
	two, other := one, newSpec(t, moe.UFM)
	two.Tokens = 4
	b := newTapped(t, moe.CPUOptions{})
	w := &stepWatcher{steps: map[string][]float64{}}
	rows, err := Series(t.Context(), b, []Spec{one, two, other}, w)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"runner baseline", "bank", "runner ufm", "runner baseline", "runner ufm",
		"runner ufm", "bank"}
	if diff := cmp.Diff(want, b.calls); diff != "" || len(rows) != 5 {
		t.Errorf("%d rows, calls (-want +got):\n%s", len(rows), diff)
	}
	if len(w.steps["ufm"]) != 3 || len(w.steps["baseline"]) != 3 {
		t.Errorf("times of steps: %v, want three a mode", w.steps)
	}
}

type lostError struct{ error }

func (lostError) DeviceLost() {}

func TestStatusOf(t *testing.T) {
	for want, err := range map[Status]error{
		StatusOK: nil, StatusOOM: errBank{&moe.HostMemoryError{}}, StatusError: errNaN,
		StatusLost: errBank{lostError{errNaN}},
	} {
		if got := StatusOf(err); got != want {
			t.Errorf("%v: got %s, want %s", err, got, want)
		}
	}
	if got := StatusOf(&moe.OutOfMemoryError{}); got != StatusOOM {
		t.Errorf("out of device memory: got %s", got)
	}
}
