package vk

import (
	"errors"
	"strings"
	"testing"
)

func TestChooseType(t *testing.T) {
	const all = flagDeviceLocal | flagHostVisible | flagHostCoherent | flagHostCached
	discrete := []memoryType{ // as NVIDIA orders them
		{flags: 0, heap: 1},
		{flags: flagDeviceLocal, heap: 0},
		{flags: flagHostVisible | flagHostCoherent, heap: 1},
		{flags: flagHostVisible | flagHostCoherent | flagHostCached, heap: 1},
		{flags: flagDeviceLocal | flagHostVisible | flagHostCoherent, heap: 0},
	}
	uncached := []memoryType{
		{flags: flagDeviceLocal, heap: 0},
		{flags: flagHostVisible | flagHostCoherent, heap: 1},
	}
	for _, test := range []struct {
		name    string
		types   []memoryType
		allowed uint32
		m       Memory
		want    int
	}{
		{"discrete local", discrete, ^uint32(0), DeviceLocal, 1},
		{"discrete cached", discrete, ^uint32(0), HostCached, 3},
		{"discrete coherent", discrete, ^uint32(0), HostCoherent, 2},
		{"only visible local allowed", discrete, 1 << 4, DeviceLocal, 4},
		{"no local allowed", discrete, 1<<2 | 1<<3, DeviceLocal, -1},
		{"one type local", []memoryType{{flags: all}}, 1, DeviceLocal, 0},
		{"one type cached", []memoryType{{flags: all}}, 1, HostCached, 0},
		{"one type coherent", []memoryType{{flags: all}}, 1, HostCoherent, 0},
		{"nothing cached", uncached, ^uint32(0), HostCached, 1},
		{"nothing visible", uncached[:1], ^uint32(0), HostCoherent, -1},
	} {
		got, ok := chooseType(test.types, test.allowed, test.m)
		if !ok {
			got = -1
		}
		if got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func TestLedger(t *testing.T) {
	l := ledger{limit: 100}
	for i, step := range []struct {
		local bool
		n     int64
		want  bool
	}{
		{true, 60, true},
		{false, 1000, true}, // the host's is not limited
		{true, 41, false},
		{true, 40, true},
		{true, 1 << 62, false}, // must not overflow
	} {
		if got := l.take(step.local, 0, step.n); got != step.want {
			t.Errorf("step %d: got %v, want %v", i, got, step.want)
		}
	}
	if now, peak := l.taken(); now != 100 || peak != 0 {
		t.Errorf("before the driver agreed: got %d, peak %d, want 100, 0", now, peak)
	}
	l.granted()
	l.give(true, 0, 60)
	if now, peak := l.taken(); now != 40 || peak != 100 {
		t.Errorf("got %d, peak %d, want 40, 100", now, peak)
	}
	if got := l.used(0); got != 1040 {
		t.Errorf("heap: got %d, want 1040", got)
	}
}

// TestOnDevice: tables that the host writes into device memory count as such; on a device
// without such memory, and in the host's own, they do not.
func TestOnDevice(t *testing.T) {
	mapped := memoryType{flags: flagDeviceLocal | flagHostVisible | flagHostCoherent}
	host := memoryType{flags: flagHostVisible | flagHostCoherent}
	for _, c := range []struct {
		m    Memory
		t    memoryType
		want bool
	}{
		{DeviceLocal, memoryType{flags: flagDeviceLocal}, true},
		{DeviceMapped, mapped, true},
		{DeviceMapped, host, false},
		{HostCached, mapped, false}, // one memory for all
		{HostCoherent, host, false},
	} {
		if got := onDevice(c.m, c.t); got != c.want {
			t.Errorf("%s in memory of flags %#x: got %v, want %v", c.m, c.t.flags, got, c.want)
		}
	}
}

func TestOutOfMemoryErrorTellsAll(t *testing.T) {
	err := error(&OutOfMemoryError{
		What: "pool block 3", Requested: 1 << 30, Free: 512 << 20, Limit: 24 << 30,
		Heaps: []Heap{
			{Size: 80 << 30, Budget: 79 << 30, Used: 23 << 30, DeviceLocal: true},
			{Size: 94 << 30, Budget: 94 << 30},
		},
	})
	const want = "vk: out of memory: pool block 3 needs 1 GiB, 512 MiB are free " +
		"(limit 24 GiB; heap 0: device, 80 GiB, budget 79 GiB, used 23 GiB; " +
		"heap 1: host, 94 GiB, budget 94 GiB, used 0 B)"
	if got := err.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := (&OutOfMemoryError{What: "submit"}).Error(); got != "vk: out of memory: submit" {
		t.Errorf("without sizes: got %s", got)
	}
}

type fakeObject struct {
	registry *registry
	closed   int
}

func (f *fakeObject) Close() error {
	if f.registry.remove(f) {
		f.closed++
	}
	return nil
}

func TestRegistry(t *testing.T) {
	var r registry
	var objects []*fakeObject
	for range 12 {
		o := &fakeObject{registry: &r}
		objects = append(objects, o)
		r.add(o, "thing")
	}
	for range 2 {
		if err := errors.Join(objects[0].Close(), objects[1].Close()); err != nil {
			t.Fatal(err)
		}
	}
	err := r.closeAll()
	if err == nil || !strings.Contains(err.Error(), "10 objects") ||
		!strings.Contains(err.Error(), "thing, 2 more") {
		t.Errorf("got %v, want ten objects, eight of them named", err)
	}
	for i, o := range objects {
		if o.closed != 1 {
			t.Errorf("object %d: closed %d times, want once", i, o.closed)
		}
	}
	if err := r.closeAll(); err != nil {
		t.Errorf("nothing open: got %v", err)
	}
}
