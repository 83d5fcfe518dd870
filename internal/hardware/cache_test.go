package hardware

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func measured() Ceilings {
	return Ceilings{
		Schema: Schema, Backend: "vulkan", Device: "Fast/Card (1)", Driver: "580.1",
		TimeUTC: "2026-01-02T03:04:05Z", ReadGBs: 3170, LinkGBs: 51, LinkBackGBs: 50, F32TFlops: 51,
		CopyGBs: 1500, CopyLatencyUs: 1.5, SubmitWaitUs: 12, BarrierUs: 4.3, OverAllocation: "fails",
		Link:            []LinkRate{{Bytes: 1 << 20, UpGBs: 50, OneQueueGBs: 48, BusyGBs: 47, DownGBs: 49}},
		ImportAnonymous: Import{GBs: 50}, ImportFile: Import{Refused: "no"},
	}
}

func TestCacheRoundTrip(t *testing.T) {
	c := Cache{Dir: filepath.Join(t.TempDir(), "a", "b")}
	want := measured()
	if _, ok := c.Load(want.Backend, want.Device, want.Driver); ok {
		t.Fatal("an empty cache has ceilings")
	}
	if err := c.Save(want); err != nil {
		t.Fatal(err)
	}
	got, ok := c.Load(want.Backend, want.Device, want.Driver)
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Fatalf("ok=%v, saved and loaded differ (-want +got):\n%s", ok, diff)
	}
	for _, other := range [][3]string{
		{"cpu", want.Device, want.Driver},
		{want.Backend, "Fast/Card (2)", want.Driver},
		{want.Backend, want.Device, "580.2"},
	} {
		if _, ok := c.Load(other[0], other[1], other[2]); ok {
			t.Errorf("ceilings of another device serve %v", other)
		}
	}
}

func TestCacheReplacesWholeFiles(t *testing.T) {
	c := Cache{Dir: t.TempDir()}
	first, second := measured(), measured()
	second.ReadGBs = 1
	for _, m := range []Ceilings{first, second} {
		if err := c.Save(m); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := c.Load(first.Backend, first.Device, first.Driver); got.ReadGBs != 1 {
		t.Errorf("got %v GB/s, want the rate saved last", got.ReadGBs)
	}
	files, err := os.ReadDir(c.Dir)
	if err != nil || len(files) != 1 {
		t.Errorf("got %d files (%v), want 1 and none left over", len(files), err)
	}
}

func TestCacheMeasuresAgain(t *testing.T) {
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	for name, change := range map[string]func(string) string{
		"cut short":      func(s string) string { return s[:len(s)/2] },
		"empty":          func(string) string { return "" },
		"another schema": replace(`"schema": 2`, `"schema": 1`),
		"another device": replace("Fast/Card", "Slow/Card"),
		"no link":        replace(`"link_gb_s": 51`, `"link_gb_s": 0`),
	} {
		t.Run(name, func(t *testing.T) {
			c, m := Cache{Dir: t.TempDir()}, measured()
			if err := c.Save(m); err != nil {
				t.Fatal(err)
			}
			path := c.path(m.Backend, m.Device, m.Driver)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := change(string(text))
			if changed == string(text) {
				t.Fatal("the test changes nothing")
			}
			if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
				t.Fatal(err)
			}
			if got, ok := c.Load(m.Backend, m.Device, m.Driver); ok {
				t.Errorf("a file %s was used: %+v", name, got)
			}
		})
	}
}

// TestCacheKeepsNothingCramped: rates out of a device's caches must not serve later runs.
func TestCacheKeepsNothingCramped(t *testing.T) {
	c, m := Cache{Dir: t.TempDir()}, measured()
	if err := c.Save(m); err != nil {
		t.Fatal(err)
	}
	small := m
	small.ReadGBs, small.Cramped = 9999, true
	if err := c.Save(small); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.Load(m.Backend, m.Device, m.Driver); !ok || got.ReadGBs != m.ReadGBs {
		t.Errorf("got %v GB/s (%v), want those of the roomy measurement", got.ReadGBs, ok)
	}
}

func TestZeroCacheKeepsNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	m := measured()
	if err := (Cache{}).Save(m); err != nil {
		t.Fatal(err)
	}
	if _, ok := (Cache{}).Load(m.Backend, m.Device, m.Driver); ok {
		t.Error("the zero cache has ceilings")
	}
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("the zero cache left %v (%v)", files, err)
	}
}

func TestCacheRefuses(t *testing.T) {
	half := measured()
	half.ReadGBs = 0
	if err := (Cache{Dir: t.TempDir()}).Save(half); err == nil {
		t.Error("ceilings without a read rate were kept")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (Cache{Dir: filepath.Join(file, "sub")}).Save(measured()); err == nil {
		t.Error("a folder that cannot be made is no error")
	}
}
