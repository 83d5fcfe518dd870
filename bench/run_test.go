package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ufm/moe"
	"ufm/pager"
)

var errNaN = errors.New("tensor w3 holds NaN")

func mustRun(t *testing.T, b moe.Backend, spec Spec) []Row {
	t.Helper()
	rows, err := Run(t.Context(), b, spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(spec.Modes) {
		t.Fatalf("got %d rows for %d modes", len(rows), len(spec.Modes))
	}
	return rows
}

func TestRunAllModes(t *testing.T) {
	spec := newSpec(t, allModes...)
	spec.Verify = true
	for _, r := range mustRun(t, newTapped(t, moe.CPUOptions{}), spec) {
		if r.Status != StatusOK {
			t.Fatalf("%s: %s: %s", r.Mode, r.Status, *r.Error)
		}
		if *r.NMSE > maxNMSE || *r.NMSE < 0 || *r.MaxAbsErr > 1e-4 {
			t.Errorf("%s: nmse %g, max error %g", r.Mode, *r.NMSE, *r.MaxAbsErr)
		}
		if *r.Steps != 3 || *r.StepMsP10 > *r.StepMsMedian || *r.StepMsMedian > *r.StepMsP90 {
			t.Errorf("%s: %d steps of %g..%g..%g ms",
				r.Mode, *r.Steps, *r.StepMsP10, *r.StepMsMedian, *r.StepMsP90)
		}
		if got, want := *r.TokensPerS, 8000 / *r.StepMsMedian; got != want {
			t.Errorf("%s: got %g tok/s, want tokens / median, %g", r.Mode, got, want)
		}
		if got, want := *r.UploadBytes, *r.Uploads*testShape.ExpertBytes(); got != want {
			t.Errorf("%s: got %d bytes for %d uploads, want %d", r.Mode, got, *r.Uploads, want)
		}
		if *r.BeladyUploads > *r.Uploads {
			t.Errorf("%s: needed %d uploads, but made %d", r.Mode, *r.BeladyUploads, *r.Uploads)
		}
		if *r.LimitMs <= 0 || *r.LimitFraction != *r.LimitMs / *r.StepMsMean {
			t.Errorf("%s: limit %g ms, fraction %g", r.Mode, *r.LimitMs, *r.LimitFraction)
		}
		if *r.ChainMs < *r.LimitMs*(1-1e-9) {
			t.Errorf("%s: chain %g ms is below the limit %g", r.Mode, *r.ChainMs, *r.LimitMs)
		}
		if *r.PeakDeviceBytes < r.BankBytes/12*int64(r.Slots) {
			t.Errorf("%s: %d bytes taken for %d slots", r.Mode, *r.PeakDeviceBytes, r.Slots)
		}
		if *r.HostBytes < r.BankBytes {
			t.Errorf("%s: %d bytes on the host for a bank of %d", r.Mode, *r.HostBytes, r.BankBytes)
		}
	}
}

// What the modes did to the same requests.
func TestRunModesDiffer(t *testing.T) {
	spec := newSpec(t, allModes...)
	spec.Tokens, spec.Steps = 1, 50 // a token uses a third of the experts
	rows := mustRun(t, newTapped(t, moe.CPUOptions{}), spec)
	accesses := *rows[0].Hits
	for i, want := range []struct {
		slots          int
		policy         string
		hitsNothing    bool
		uploadsNothing bool
	}{
		{slots: 12, uploadsNothing: true},
		{slots: 1, hitsNothing: true},
		{slots: 6, policy: "lru"},
		{slots: 6, policy: "nextuse"},
	} {
		r := rows[i]
		if *r.Hits+*r.Misses != accesses || accesses == 0 {
			t.Errorf("%s: %d hits, %d misses, want %d together", r.Mode, *r.Hits, *r.Misses, accesses)
		}
		if r.Slots != want.slots || (*r.Hits == 0) != want.hitsNothing ||
			(*r.Uploads == 0) != want.uploadsNothing {
			t.Errorf("%s: %d slots, %d hits, %d uploads, want %+v",
				r.Mode, r.Slots, *r.Hits, *r.Uploads, want)
		}
		if policy := show(r.Policy, same); want.policy == "" && policy != unknown ||
			!strings.HasPrefix(policy, want.policy) {
			t.Errorf("%s: got policy %s, want %q", r.Mode, policy, want.policy)
		}
	}
	// A resident bank needs nothing; all that page are judged by the same slots over the
	// same steps.
	for i, r := range rows {
		if needed := *r.BeladyUploads; (needed == 0) != (i == 0) || needed > *r.Uploads ||
			i > 0 && needed != *rows[1].BeladyUploads {
			t.Errorf("%s: %d uploads needed, %d made", r.Mode, needed, *r.Uploads)
		}
	}
}

// TestWindowsAreTheSameSteps: what is measured begins with the same step in every mode.
func TestWindowsAreTheSameSteps(t *testing.T) {
	spec := newSpec(t, allModes...)
	spec.Steps = 4
	ran := map[moe.Mode][]int{}
	b := newTapped(t, moe.CPUOptions{})
	b.onStep = func(m moe.Mode, batch *moe.Batch) error {
		ran[m] = append(ran[m], batch.Step)
		return nil
	}
	mustRun(t, b, spec)
	for _, m := range allModes {
		if diff := cmp.Diff([]int{0, 1, 2, 3, 4, 5}, ran[m]); diff != "" {
			t.Errorf("%s: steps (-want +got):\n%s", m, diff)
		}
	}
}

// TestRunAutomaticBudgetFits: what an automatic budget leaves is enough for the steps, even
// where they take more than the experts.
func TestRunAutomaticBudgetFits(t *testing.T) {
	for _, tokens := range []int{1, 40, 400} {
		b := newTapped(t, moe.CPUOptions{
			Threads: 2, MemoryLimit: 2*testShape.ExpertBytes() +
				17*moe.NewCPU(moe.CPUOptions{Threads: 2}).WorkBytes(testShape, tokens)/16,
		})
		spec := newSpec(t, moe.UFM)
		spec.Budget, spec.Tokens, spec.MemoryLimit = Budget{}, tokens, b.Device().MemBytes
		r := mustRun(t, b, spec)[0]
		if r.Status != StatusOK || r.Slots < 1 || r.Slots > 2 {
			t.Errorf("%d tokens: got %s with %d slots: %s", tokens, r.Status, r.Slots, show(r.Error, same))
		}
	}
}

// TestRunBankLargerThanTheHost: an automatic budget names what does not fit, not what is
// left of it.
func TestRunBankLargerThanTheHost(t *testing.T) {
	shape := testShape
	shape.Experts, shape.DModel, shape.DHidden = 1<<20, 1<<10, 1<<14
	spec := newSpec(t, moe.UFM)
	spec.Model, spec.Budget = newModel(t, shape), Budget{}
	_, err := Run(t.Context(), newTapped(t, moe.CPUOptions{}), spec, nil)
	var host *moe.HostMemoryError
	if !errors.As(err, &host) || host.Requested != shape.BankBytes() || host.Available < 1 {
		t.Errorf("got %v, want the sizes of the bank and of the host", err)
	}
}

// choosy is a backend that cannot run every shape.
type choosy struct {
	*tapped
	err error
}

func (c choosy) CheckShape(moe.Shape) error { return c.err }

// TestRunRefusesAShapeOnce: what no mode could run is an error before the first.
func TestRunRefusesAShapeOnce(t *testing.T) {
	b := choosy{newTapped(t, moe.CPUOptions{}), errors.New("too many experts")}
	rows, err := Run(t.Context(), b, newSpec(t, allModes...), nil)
	if !errors.Is(err, b.err) || len(rows) > 0 || len(b.calls) > 0 {
		t.Errorf("got %d rows, %v after %q, want the one error", len(rows), err, b.calls)
	}
}

// late and lost are errors as devices make them.
type late struct{ error }

func (late) Timeout() bool { return true }

type lost struct{ error }

func (lost) DeviceLost() {}

// TestRunTellsHowItEnded: what happened to the device is a status of its own.
func TestRunTellsHowItEnded(t *testing.T) {
	for want, cause := range map[Status]error{
		StatusTimeout: late{errors.New("too slow")},
		StatusLost:    lost{errors.New("gone")},
		StatusOOM:     &moe.OutOfMemoryError{What: "input"},
		StatusError:   errors.New("odd"),
	} {
		b := newTapped(t, moe.CPUOptions{})
		b.onStep = func(moe.Mode, *moe.Batch) error { return cause }
		if r := mustRun(t, b, newSpec(t, moe.UFM))[0]; r.Status != want {
			t.Errorf("%v: got %s, want %s", cause, r.Status, want)
		}
	}
}

// TestRunRemembersNoMoreThanItMay: a long run ends before what it keeps for the bound does
// not fit, but not before it has measured anything.
func TestRunRemembersNoMoreThanItMay(t *testing.T) {
	w := &watcher{}
	spec := newSpec(t, moe.UFM)
	spec.Steps = 1 << 20
	c := cell{job: &job{Spec: spec, observer: w}, mode: moe.UFM}
	c.requests.observe(&pager.Event{Hits: []pager.ExpertID{1, 2, 3}})
	if got := c.requests.bytes; got < 3*4 || got > 1<<10 {
		t.Errorf("a group of three experts: %d bytes", got)
	}
	c.requests.bytes = maxRequestBytes
	for steps := 0; steps <= minSteps; steps++ {
		c.window.steps = make([]moe.StepTimes, steps)
		if got := c.enough(time.Now()); got != (steps == minSteps) {
			t.Errorf("%d steps: enough is %v", steps, got)
		}
	}
	if notes := strings.Join(w.notes, "\n"); !strings.Contains(notes, "ufm: measured 3 steps") {
		t.Errorf("got notes %q, want that it ended early", notes)
	}
}

func TestRunTakesDeviceMemoryBeforeTheBank(t *testing.T) {
	b := newTapped(t, moe.CPUOptions{})
	mustRun(t, b, newSpec(t, moe.Baseline, moe.UFM))
	if diff := cmp.Diff([]string{"runner baseline", "bank", "runner ufm"}, b.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestRunOutOfMemoryIsARow(t *testing.T) {
	// 6 slots and a step's buffers fit, 12 slots do not.
	b := newTapped(t, moe.CPUOptions{Threads: 2, MemoryLimit: 52 << 10})
	rows := mustRun(t, b, newSpec(t, moe.Baseline, moe.UFM))
	if r := rows[0]; r.Status != StatusOOM || r.Hits != nil || r.StepMsMedian != nil ||
		!strings.Contains(*r.Error, "out of device memory") {
		t.Errorf("baseline: got %s, %s, hits %v", r.Status, show(r.Error, same), r.Hits)
	}
	if rows[1].Status != StatusOK {
		t.Errorf("ufm: got %s: %s", rows[1].Status, show(rows[1].Error, same))
	}

	// A bank that is there already is told, also by the mode that did not fit.
	r := mustRun(t, b, newSpec(t, moe.UFM, moe.Baseline))[1]
	if r.Status != StatusOOM || r.HostBytes == nil || *r.HostBytes < r.BankBytes {
		t.Errorf("baseline after ufm: got %s, host bytes %s", r.Status, show(r.HostBytes, size))
	}

	b = newTapped(t, moe.CPUOptions{MemoryLimit: 1})
	mustRun(t, b, newSpec(t, moe.Baseline, moe.UFM))
	if slices.Contains(b.calls, "bank") {
		t.Error("a bank was built though nothing fits the device")
	}
}

func TestRunWithoutABankIsAnError(t *testing.T) {
	spec := newSpec(t, moe.Baseline, moe.UFM)
	spec.Model = nanModel{spec.Model}
	b := newTapped(t, moe.CPUOptions{})
	rows, err := Run(t.Context(), b, spec, nil)
	if !errors.Is(err, errNaN) || len(rows) > 0 {
		t.Errorf("got %d rows and %v, want the bank's error", len(rows), err)
	}
	if slices.Contains(b.calls, "runner ufm") {
		t.Error("a second mode was tried without a bank")
	}
}

func TestRunGoesOnAfterAnError(t *testing.T) {
	b := newTapped(t, moe.CPUOptions{})
	b.onStep = func(m moe.Mode, batch *moe.Batch) error {
		if m == moe.Naive && batch.Step == 2 {
			return errors.New("it broke")
		}
		return nil
	}
	rows := mustRun(t, b, newSpec(t, moe.Naive, moe.UFM))
	if rows[0].Status != StatusError || !strings.Contains(*rows[0].Error, "naive: step 2: it broke") {
		t.Errorf("naive: got %s: %s", rows[0].Status, show(rows[0].Error, same))
	}
	if rows[1].Status != StatusOK {
		t.Errorf("ufm: got %s", rows[1].Status)
	}
}

func TestRunInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{finished: func(Row) { cancel() }}
	rows, err := Run(ctx, newTapped(t, moe.CPUOptions{}), newSpec(t, allModes...), w)
	if !errors.Is(err, context.Canceled) || len(rows) != 1 || rows[0].Status != StatusOK {
		t.Errorf("got %d rows and %v, want the finished one and context.Canceled", len(rows), err)
	}
}

func TestRunNotes(t *testing.T) {
	spec := newSpec(t, moe.UFM)
	spec.Budget = Budget{Bytes: 3 * testShape.ExpertBytes()}
	w := &watcher{}
	if _, err := Run(t.Context(), newTapped(t, moe.CPUOptions{}), spec, w); err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(w.notes, "\n")
	for _, want := range []string{
		"paging gains nothing there",
		"the pool of 3 slots is below one token cycle of 2 layers × top-2 = 4",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("got notes %q, want %q among them", notes, want)
		}
	}
}

func TestRunForADuration(t *testing.T) {
	spec := newSpec(t, moe.UFM)
	spec.Steps, spec.Duration = 0, 1 // a nanosecond: the least that is measured
	if got := *mustRun(t, newTapped(t, moe.CPUOptions{}), spec)[0].Steps; got != minSteps {
		t.Errorf("got %d steps, want %d", got, minSteps)
	}
}
