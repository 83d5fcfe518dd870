package sweep

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ufm/bench"
)

// fromDisk are the rows that a folder holds.
func fromDisk(t *testing.T, dir string) []bench.Row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, RowsFile))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := bench.ReadRows(bytes.NewReader(text), RowsFile)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestRun(t *testing.T) {
	o := smallOptions(t)
	rows, err := Run(t.Context(), o, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rows, fromDisk(t, o.Dir)); diff != "" || len(rows) != len(o.Plan.Cells) {
		t.Fatalf("%d rows, returned and on disk (-returned +disk):\n%s", len(rows), diff)
	}
	samples, err := Samples(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		c := o.Plan.Cells[i]
		if r.Status != bench.StatusOK || r.Mode != c.Mode || r.Experts != c.Experts || r.RunID != "r" {
			t.Errorf("cell %v: got %s, %s with %d experts", c, r.Status, r.Mode, r.Experts)
		}
		if len(samples[i]) != 5 || r.LimitMs == nil {
			t.Errorf("cell %v: %d samples, limit %v", c, len(samples[i]), r.LimitMs)
		}
	}
	plan, env, found, err := Open(o.Dir)
	if err != nil || !found || plan.difference(o.Plan) != "" {
		t.Errorf("plan on disk: %v, %v, %q", found, err, plan.difference(o.Plan))
	}
	if env.RunID != "r" || env.Machine.Backend != "cpu" || env.Machine.Host.Cores == 0 || env.Finished.IsZero() {
		t.Errorf("environment: %+v", env)
	}
	if text, err := os.ReadFile(filepath.Join(o.Dir, CSVFile)); err != nil ||
		bytes.Count(text, []byte("\n")) != len(rows)+1 {
		t.Errorf("csv: %v\n%s", err, text)
	}
}

// Whatever a cell does to its process, it becomes a row, and the cells after it run.
func TestFaultsBecomeRows(t *testing.T) {
	for _, c := range []struct {
		faults string
		want   [3]bench.Status // of baseline, naive, ufm
		text   string          // in the error of the first that is not ok
	}{
		{"naive:hang", [3]bench.Status{"ok", "timeout", "ok"}, "no result within 1s"},
		{"naive:crash", [3]bench.Status{"ok", "crashed", "ok"}, "the driver fell over"},
		{"naive:kill", [3]bench.Status{"ok", "crashed", "ok"}, "signal: killed"},
		{"naive:exit", [3]bench.Status{"ok", "crashed", "ok"}, "exit status 0, but no row"},
		{"naive:oom", [3]bench.Status{"ok", "oom", "ok"}, "out of device memory: slots"},
		{"naive:lost", [3]bench.Status{"ok", "lost", "ok"}, "device lost"},
		{"bank:oom", [3]bench.Status{"oom", "oom", "oom"}, "does not fit the host"},
		{"baseline:crash,ufm:crash", [3]bench.Status{"crashed", "ok", "crashed"}, "the driver fell over"},
	} {
		t.Run(c.faults, func(t *testing.T) {
			o := smallOptions(t)
			o.Plan.Cells = o.Plan.Cells[:3]
			if strings.Contains(c.faults, "hang") {
				o.Plan.Cells[1].Limit = duration(time.Second)
			}
			o.Child = append([]string{"/usr/bin/env", faultVariable + "=" + c.faults}, o.Child[1:]...)
			rows, err := Run(t.Context(), o, quiet{})
			if err != nil || len(rows) != 3 {
				t.Fatalf("%d rows, %v", len(rows), err)
			}
			text := ""
			for i, r := range rows {
				if r.Status != c.want[i] {
					t.Errorf("%s: got %s (%s), want %s", r.Mode, r.Status, r.Show("error"), c.want[i])
				}
				if r.Error != nil && text == "" {
					text = *r.Error
				}
				if r.Backend != "cpu" || r.Slots == 0 || r.BankBytes == 0 {
					t.Errorf("%s: the row does not tell what was asked: %+v", r.Mode, r)
				}
			}
			if !strings.Contains(text, c.text) {
				t.Errorf("got %q, want %q in it", text, c.text)
			}
		})
	}
}

// Killed at twenty random moments and resumed, a sweep ends with the rows of one that
// nobody disturbed: none lost, none twice.
func TestTwentyKills(t *testing.T) {
	undisturbed := smallOptions(t)
	start := time.Now()
	want, err := Run(t.Context(), undisturbed, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	o := smallOptions(t)
	o.Resume = true
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	most := 0
	for kill := range 20 {
		p := sweepProcess(t, o)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(took))))
		_ = p.Process.Kill()
		_ = p.Wait()
		if text, err := os.ReadFile(filepath.Join(o.Dir, RowsFile)); err == nil {
			n := bytes.Count(text, []byte("\n"))
			if n < most {
				t.Fatalf("seed %d: kill %d left %d rows of %d", seed, kill, n, most)
			}
			most = n
		}
		if kill%7 == 6 { // else it is over after a few kills
			tear(t, o.Dir, rng)
			most = 0
		}
	}
	got, err := Run(t.Context(), o, quiet{})
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if diff := cmp.Diff(outcomes(want), outcomes(got)); diff != "" {
		t.Errorf("seed %d: rows (-undisturbed +killed):\n%s", seed, diff)
	}
	if diff := cmp.Diff(got, fromDisk(t, o.Dir)); diff != "" {
		t.Errorf("seed %d: rows on disk (-returned +disk):\n%s", seed, diff)
	}
	if samples, err := Samples(o.Dir); err != nil || len(samples) != len(want) {
		t.Errorf("seed %d: %d samples (%v)", seed, len(samples), err)
	}
}

// Ctrl-C and timeout signal the whole group of processes, children too: no cell may seem to
// have failed for that, and a resumed sweep has the rows of one that nobody disturbed.
func TestSignalledGroup(t *testing.T) {
	child, err := start(childArgs(), request{Backend: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	group, err := syscall.Getpgid(child.command.Process.Pid)
	child.kill()
	if err != nil || group == syscall.Getpgrp() {
		t.Fatalf("a child is in group %d, with its parent (%v)", group, err)
	}
	undisturbed := smallOptions(t)
	start := time.Now()
	want, err := Run(t.Context(), undisturbed, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	o := smallOptions(t)
	o.Resume = true
	for i := range 8 {
		p := sweepProcess(t, o)
		p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(took * time.Duration(i+1) / 9)
		_ = syscall.Kill(-p.Process.Pid, []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}[i%2])
		_ = p.Wait()
	}
	got, err := Run(t.Context(), o, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(outcomes(want), outcomes(got)); diff != "" {
		t.Errorf("rows (-undisturbed +signalled):\n%s", diff)
	}
}

// tear cuts the rows somewhere, as a kill in the middle of a write may.
func tear(t *testing.T, dir string, rng *rand.Rand) {
	t.Helper()
	path := filepath.Join(dir, RowsFile)
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return
	}
	if err := os.Truncate(path, rng.Int64N(info.Size())); err != nil {
		t.Fatal(err)
	}
}

func TestInterrupted(t *testing.T) {
	o := smallOptions(t)
	ctx, cancel := context.WithCancel(t.Context())
	rows, err := Run(ctx, o, stopAfter{2, cancel})
	if !errors.Is(err, context.Canceled) || len(rows) != 2 {
		t.Fatalf("%d rows, %v; want 2 and the interruption", len(rows), err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, CSVFile)); err != nil {
		t.Error(err)
	}
	// What is left goes on with the ceilings of before, on a machine that has forgotten them.
	o.Resume = true
	o.Child = append([]string{"/usr/bin/env", faultVariable + "=measure:fail", "XDG_CACHE_HOME=" + t.TempDir()},
		o.Child[1:]...)
	if rows, err = Run(t.Context(), o, quiet{}); err != nil || len(rows) != len(o.Plan.Cells) {
		t.Fatalf("resumed: %d rows, %v", len(rows), err)
	}
	if last := rows[len(rows)-1]; last.LimitMs == nil {
		t.Error("the resumed rows have no limit")
	}
}

// stopAfter interrupts a sweep after some rows.
type stopAfter struct {
	n    int
	stop func()
}

func (stopAfter) Progress(string, int64, int64) {}
func (stopAfter) Note(string)                   {}

func (s stopAfter) Finished(n, _ int, _ Cell, _ bench.Row) {
	if n == s.n {
		s.stop()
	}
}

// What does not belong to the rows that are there is refused, with its reason.
func TestRefused(t *testing.T) {
	done := smallOptions(t)
	done.Plan.Cells = done.Plan.Cells[:1]
	if _, err := Run(t.Context(), done, quiet{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"not resumed", func(o *Options) { o.Resume = false }, "has 1 rows of a sweep already: --resume"},
		{"another cell", func(o *Options) { o.Plan.Cells[0].Tokens = 9 },
			"tokens of cell 1 is 8 there and 9 here"},
		{"more cells", func(o *Options) { o.Plan = smallPlan(t) }, "1 cells there and 6 here"},
		{"no device", func(o *Options) { o.Device = "x" }, "no device x"},
		{"another version", func(o *Options) { rewrite(t, o.Dir, `"binary": "`, `"binary": "0`) },
			"made by another version: program 0"},
		{"another device", func(o *Options) {
			rewrite(t, o.Dir, `"binary": "0`, `"binary": "`)
			rewrite(t, o.Dir, `"backend": "cpu"`, `"backend": "vulkan"`)
		}, "made on another device: vulkan"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := done
			o.Resume = true
			o.Plan.Cells = append([]Cell(nil), done.Plan.Cells...)
			c.change(&o)
			if _, err := Run(t.Context(), o, quiet{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	if rows := fromDisk(t, done.Dir); len(rows) != 1 {
		t.Errorf("%d rows after refusals, want 1", len(rows))
	}
}

func rewrite(t *testing.T, dir, old, text string) {
	t.Helper()
	path := filepath.Join(dir, EnvironmentFile)
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(text), 1), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTwoSweepsInOneFolder(t *testing.T) {
	f, err := openFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := openFolder(f.dir); err == nil || !strings.Contains(err.Error(), "another sweep is at work") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// A disk that is full ends the sweep with the rows that it has, each whole.
func TestFullDisk(t *testing.T) {
	o := smallOptions(t)
	p := sweepProcess(t, o)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	p.Args = []string{"sh", "-c", "trap '' XFSZ; ulimit -f 8; exec " + os.Args[0]} // 4 KiB
	p.Path = "/bin/sh"
	text, err := p.CombinedOutput()
	if err == nil || !strings.Contains(string(text), "write a row") || !strings.Contains(string(text), "too large") {
		t.Errorf("got %v: %s", err, text)
	}
	if rows := fromDisk(t, o.Dir); len(rows) < 1 || len(rows) >= len(o.Plan.Cells) {
		t.Errorf("%d rows are left", len(rows))
	}
	o.Resume = true
	if rows, err := Run(t.Context(), o, quiet{}); err != nil || len(rows) != len(o.Plan.Cells) {
		t.Errorf("resumed with room: %d rows, %v", len(rows), err)
	}
}

func TestUnwritableFolder(t *testing.T) {
	o := smallOptions(t)
	o.Dir = filepath.Join(o.Dir, "file")
	if err := os.WriteFile(o.Dir, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o, quiet{}); err == nil || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("got %v, want an error that names %s", err, o.Dir)
	}
}
