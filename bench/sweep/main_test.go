package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"ufm/bench"
	"ufm/internal/hardware"
	"ufm/moe"
)

// The test binary plays the parts of other processes: a child, and a whole sweep that
// can be killed.
const (
	roleVariable  = "UFM_SWEEP_TEST_ROLE"
	faultVariable = "UFM_SWEEP_TEST_FAULTS" // as "naive:hang,ufm:crash"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		cache, err := os.MkdirTemp("", "ufm-sweep-")
		if err == nil {
			err = errors.Join(os.Setenv("XDG_CACHE_HOME", cache),
				os.Setenv("GORACE", "atexit_sleep_ms=0"), keepCeilings())
		}
		if err != nil {
			panic(err)
		}
		code := m.Run()
		_ = os.RemoveAll(cache)
		os.Exit(code)
	case "child":
		end(Serve(context.Background(), os.Stdin, os.Stdout, Opener{Open: openFaulty}))
	case "sweep":
		var o Options
		end(errors.Join(json.NewDecoder(os.Stdin).Decode(&o), runRole(o)))
	}
}

// keepCeilings spares the tests the measurement of this machine.
func keepCeilings() error {
	cache, err := hardware.DefaultCache()
	if err != nil {
		return err
	}
	b := moe.NewCPU(moe.CPUOptions{})
	defer b.Close()
	return cache.Save(hardware.Ceilings{
		Backend: b.Name(), Device: b.Device().Name, Driver: b.Device().Driver,
		ReadGBs: 20, LinkGBs: 10, LinkBackGBs: 10, F32TFlops: 0.1,
	})
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "ufm:", err)
		os.Exit(4)
	}
	os.Exit(0)
}

func runRole(o Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	_, err := Run(ctx, o, quiet{})
	return err
}

// childArgs is this binary as a child.
func childArgs() []string {
	return []string{"/usr/bin/env", roleVariable + "=child", os.Args[0]}
}

// faulty is the CPU backend with modes that end badly.
type faulty struct {
	moe.Backend
	faults map[string]string
}

func openFaulty(backend, device string, limit int64) (moe.Backend, error) {
	if device != "" {
		return nil, fmt.Errorf("no device %s", device)
	}
	b := faulty{moe.NewCPU(moe.CPUOptions{MemoryLimit: limit}), map[string]string{}}
	for _, f := range strings.Split(os.Getenv(faultVariable), ",") {
		mode, fault, _ := strings.Cut(f, ":")
		b.faults[mode] = fault
	}
	return b, nil
}

type lostError struct{}

func (lostError) Error() string { return "device lost" }
func (lostError) DeviceLost()   {}

func (b faulty) NewRunner(cfg moe.RunConfig) (moe.Runner, error) {
	switch b.faults[cfg.Mode.String()] {
	case "hang":
		time.Sleep(time.Hour)
	case "crash":
		panic("the driver fell over")
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour)
	case "oom":
		return nil, &moe.OutOfMemoryError{What: "slots", Requested: 2, Free: 1}
	case "lost":
		return nil, lostError{}
	case "exit":
		os.Exit(0)
	}
	return b.Backend.NewRunner(cfg)
}

func (b faulty) Measure(ctx context.Context) (hardware.Ceilings, error) {
	if b.faults["measure"] != "" {
		return hardware.Ceilings{}, errors.New("measured again")
	}
	return b.Backend.Measure(ctx)
}

func (b faulty) NewBank(
	ctx context.Context, m moe.Model, progress func(int64),
) (moe.Bank, error) {
	if b.faults["bank"] != "" {
		return nil, &moe.HostMemoryError{Requested: 2, Available: 1}
	}
	return b.Backend.NewBank(ctx, m, progress)
}

// quiet is an observer that watches nothing.
type quiet struct{}

func (quiet) Progress(string, int64, int64)      {}
func (quiet) Note(string)                        {}
func (quiet) Finished(int, int, Cell, bench.Row) {}

// smallPlan is six cells of two banks, with counts that do not depend on time.
func smallPlan(t testing.TB) Plan {
	t.Helper()
	cells, err := parsePreset("small", []byte(`
		[cell]
		d_model = 16
		d_hidden = 32
		tokens = 8
		steps = 5
		limit = "20s"
		[[sweep]]
		experts = [12, 18]
		mode = ["baseline", "naive", "ufm"]`))
	if err != nil {
		t.Fatal(err)
	}
	return Plan{Presets: []string{"small"}, Cells: cells}
}

func smallOptions(t testing.TB) Options {
	return Options{Plan: smallPlan(t), Dir: t.TempDir(), Child: childArgs(), Backend: "cpu", RunID: "r"}
}

// sweepProcess is a whole sweep in a process of its own.
func sweepProcess(t *testing.T, o Options) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), roleVariable+"=sweep")
	c.Stdin = strings.NewReader(string(text))
	return c
}

// outcome is what must be the same each time that a cell runs.
func outcome(r bench.Row) string {
	var s []string
	for _, column := range bench.Columns() {
		switch column {
		case "time_utc", "nvml_bytes", "limit_fraction", "link_fraction":
			continue
		}
		if strings.HasSuffix(column, "_ms") || strings.HasPrefix(column, "step_ms") ||
			strings.HasSuffix(column, "_s") && column != "steps" {
			continue
		}
		s = append(s, column+"="+r.Show(column))
	}
	return strings.Join(s, " ")
}

func outcomes(rows []bench.Row) []string {
	all := make([]string, len(rows))
	for i, r := range rows {
		all[i] = outcome(r)
	}
	return all
}
