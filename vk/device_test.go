//go:build cgo && linux

package vk

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDevices(t *testing.T) {
	d := open(t, Options{})
	all, err := Devices()
	if err != nil || len(all) == 0 {
		t.Fatalf("got %v, %v, want devices", all, err)
	}
	opened := d.Info()
	got := all[opened.Index]
	if got.Name != opened.Name || got.Index != opened.Index {
		t.Errorf("got device %d %q, want %d %q", got.Index, got.Name, opened.Index, opened.Name)
	}
	for _, field := range []struct {
		name string
		ok   bool
	}{
		{"driver", got.Driver != ""},
		{"api", strings.HasPrefix(got.API, "1.")},
		{"kind", got.Kind != ""},
		{"heaps", len(got.Heaps) > 0 && got.Heaps[0].Size > 0 && got.Heaps[0].Budget > 0},
		{"queues", len(got.Queues) > 0 && got.Queues[0].Count > 0},
		{"subgroup", got.SubgroupSize >= 1 && got.SubgroupSize <= 128},
		{"shared memory", got.MaxSharedMemory >= 16<<10},
		{"push constants", got.MaxPushConstants >= 128},
		{"invocations", got.MaxWorkgroupInvocations >= 128},
		{"workgroups", got.MaxWorkgroups[0] >= 65535 && got.MaxWorkgroups[2] >= 65535},
		{"allocation", got.MaxAllocation >= 1<<30},
		{"timestamp period", got.TimestampPeriodNs > 0},
	} {
		if !field.ok {
			t.Errorf("%s: got %+v", field.name, got)
		}
	}
}

func TestOpenByIndexAndName(t *testing.T) {
	info := open(t, Options{}).Info()
	index := strconv.Itoa(info.Index)
	for _, want := range []string{index, info.Name, strings.ToUpper(info.Name[:4])} {
		if got := open(t, Options{Device: want}).Info(); got.Name != info.Name {
			t.Errorf("device %q: got %q, want %q", want, got.Name, info.Name)
		}
	}
	_, err := Open(Options{Device: "no such thing"})
	if !errors.Is(err, ErrNoDevice) || !strings.Contains(err.Error(), info.Name) {
		t.Errorf("unknown device: got %v, want ErrNoDevice with a list", err)
	}
}

func TestLossIsSticky(t *testing.T) {
	d := open(t, Options{})
	b := buffer(t, d, HostCached, 64)
	line := must[*Timeline](t)(d.NewTimeline())
	c := must[*Commands](t)(d.NewCommands(d.Compute()))
	stamps := must[*Timestamps](t)(d.NewTimestamps(1))
	d.lose()
	if !d.Lost() {
		t.Error("Lost: got false")
	}
	for name, call := range map[string]func() error{
		"NewBuffer":     func() error { _, err := d.NewBuffer(DeviceLocal, 1, "b"); return err },
		"NewPipeline":   func() error { _, err := d.NewPipeline(sumCode, nil, 24); return err },
		"NewCommands":   func() error { _, err := d.NewCommands(d.Compute()); return err },
		"NewTimeline":   func() error { _, err := d.NewTimeline(); return err },
		"NewTimestamps": func() error { _, err := d.NewTimestamps(1); return err },
		"Submit":        func() error { return d.Compute().Submit(Submission{}) },
		"Wait":          func() error { return line.Wait(context.Background(), 0) },
		"Value":         func() error { _, err := line.Value(); return err },
		"Read":          func() error { return stamps.Read(0, make([]uint64, 1)) },
		"End":           func() error { c.Begin(); c.Fill(b, 0, 4, 0); return c.End() },
	} {
		if err := call(); !errors.Is(err, ErrDeviceLost) {
			t.Errorf("%s: got %v, want ErrDeviceLost", name, err)
		}
	}
}

func TestCloseFindsLeaks(t *testing.T) {
	d := open(t, Options{})
	b, err := d.NewBuffer(HostCached, 64, "forgotten")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.NewTimeline(); err != nil {
		t.Fatal(err)
	}
	err = d.Close()
	if err == nil || !strings.Contains(err.Error(), `2 objects`) ||
		!strings.Contains(err.Error(), `buffer "forgotten", timeline`) {
		t.Errorf("got %v, want both objects named", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second close: got %v, want nil", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("buffer of a closed device: got %v, want nil", err)
	}
	if _, err := d.NewBuffer(HostCached, 64, "late"); err == nil {
		t.Error("buffer of a closed device: got no error")
	}
}

// A queue that waits for what never comes must not hold up Close for ever.
func TestCloseGivesUp(t *testing.T) {
	if os.Getenv("UFM_TEST_CHILD") == "" {
		child(t, "TestCloseGivesUp")
		return
	}
	d, err := Open(Options{WaitLimit: 50 * time.Millisecond, CacheDir: "off"})
	if err != nil {
		t.Fatal(err)
	}
	line, err := d.NewTimeline()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Compute().Submit(Submission{Wait: []Point{{line, 1}}}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v, want ErrTimeout", err)
	}
}

func TestNoLoader(t *testing.T) {
	if os.Getenv("UFM_TEST_CHILD") == "" {
		dir := t.TempDir()
		// The dynamic linker takes this file for the library, and cannot load it.
		if err := os.WriteFile(filepath.Join(dir, loaderName), []byte("no library"), 0o644); err != nil {
			t.Fatal(err)
		}
		child(t, "TestNoLoader", "LD_LIBRARY_PATH="+dir)
		return
	}
	if _, err := Open(Options{}); !errors.Is(err, ErrNoLoader) {
		t.Errorf("Open: got %v, want ErrNoLoader", err)
	}
	if _, err := Devices(); !errors.Is(err, ErrNoLoader) {
		t.Errorf("Devices: got %v, want ErrNoLoader", err)
	}
}

func TestNoDriver(t *testing.T) {
	if os.Getenv("UFM_TEST_CHILD") == "" {
		open(t, Options{}) // there must be a loader to find no drivers with
		const none = "/nonexistent.json"
		child(t, "TestNoDriver", "VK_ICD_FILENAMES="+none, "VK_DRIVER_FILES="+none)
		return
	}
	if _, err := Open(Options{}); !errors.Is(err, ErrNoDevice) {
		t.Errorf("Open: got %v, want ErrNoDevice", err)
	}
	if all, err := Devices(); err != nil || len(all) != 0 {
		t.Errorf("Devices: got %v, %v, want none", all, err)
	}
}

// child runs one test in a process of its own, with more environment.
func child(t *testing.T, test string, env ...string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), "UFM_TEST_CHILD=1"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+test) {
		t.Errorf("child: %v\n%s", err, out)
	}
}

func TestPipelineCacheOnDisk(t *testing.T) {
	dir := t.TempDir()
	for _, wantLoaded := range []bool{false, true} {
		d := open(t, Options{CacheDir: dir})
		if got := d.cache.loaded > 0; got != wantLoaded {
			t.Errorf("loaded: got %v, want %v", got, wantLoaded)
		}
		p, err := d.NewPipeline(sumCode, []uint32{1, 2}, sumPush)
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
