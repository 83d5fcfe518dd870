//go:build cgo && linux

package vk

import (
	"errors"
	"strings"
	"testing"
)

func TestAddressesAcrossBlocks(t *testing.T) {
	d := open(t, Options{})
	const n = 1000
	var blocks []*Buffer
	for b := range 3 {
		host := buffer(t, d, HostCached, 4*n)
		setWords(host.Bytes(), func(i int) uint32 { return uint32(i * (b + 1)) })
		local := buffer(t, d, DeviceLocal, 4*n)
		run(t, d.Transfers()[0], func(c *Commands) { c.Copy(local, 0, host, 0, 4*n) })
		blocks = append(blocks, local)
	}
	result, back := buffer(t, d, DeviceLocal, 4*n), buffer(t, d, HostCached, 4*n)
	s := newSum(t, d, 10, 7, blocks...)
	run(t, d.Compute(), func(c *Commands) {
		s.record(c, result, n)
		c.Barrier()
		c.Copy(back, 0, result, 0, 4*n)
	})
	checkWords(t, back.Bytes(), func(i int) uint32 { return uint32(7 + 10*6*i) })
}

func TestBufferKinds(t *testing.T) {
	d := open(t, Options{})
	for _, m := range []Memory{DeviceLocal, HostCached, HostCoherent} {
		t.Run(m.String(), func(t *testing.T) {
			b := buffer(t, d, m, 1000)
			if b.Size() != 1000 {
				t.Errorf("size: got %d, want 1000", b.Size())
			}
			if b.Address() == 0 || b.Address()%256 != 0 && d.Info().Kind == kindDiscrete {
				t.Errorf("address: got %#x, want one that is aligned", b.Address())
			}
			want := 1000
			if m == DeviceLocal {
				want = 0
			}
			if got := len(b.Bytes()); got != want {
				t.Errorf("bytes: got %d, want %d", got, want)
			}
		})
	}
}

func TestBufferBadSizes(t *testing.T) {
	d := open(t, Options{})
	for _, size := range []int64{0, -1} {
		if _, err := d.NewBuffer(DeviceLocal, size, "odd"); err == nil ||
			!strings.Contains(err.Error(), "odd") {
			t.Errorf("size %d: got error %v, want one that names the buffer", size, err)
		}
	}
}

// TestBufferAboveDeviceMaximum: what the device cannot hold in one piece is out of memory,
// before the driver is asked.
func TestBufferAboveDeviceMaximum(t *testing.T) {
	d := open(t, Options{})
	most := d.Info().MaxAllocation
	_, err := d.NewBuffer(DeviceLocal, most+1, "the giant")
	var oom *OutOfMemoryError
	if !errors.As(err, &oom) {
		t.Fatalf("got %v, want an OutOfMemoryError", err)
	}
	if oom.Requested != most+1 || oom.MaxAllocation != most || oom.What != "the giant" {
		t.Errorf("got %+v, want %d of at most %d requested", oom, most+1, most)
	}
	if text := err.Error(); !strings.Contains(text, "largest buffer") {
		t.Errorf("got %q, want the device's maximum named", text)
	}
}

func TestMemoryLimit(t *testing.T) {
	const limit, block = 1 << 20, 400 << 10
	d := open(t, Options{MemoryLimit: limit})
	first := buffer(t, d, DeviceLocal, block)
	buffer(t, d, DeviceLocal, block)
	_, err := d.NewBuffer(DeviceLocal, block, "pool block 2")
	var oom *OutOfMemoryError
	if !errors.As(err, &oom) {
		t.Fatalf("over the limit: got %v, want an OutOfMemoryError", err)
	}
	if oom.What != "pool block 2" || oom.Requested < block || oom.Limit != limit ||
		len(oom.Heaps) == 0 {
		t.Errorf("got %+v", oom)
	}
	if want := d.DeviceMemoryFree(); oom.Free != want || want >= block {
		t.Errorf("free: got %d, want %d, less than a block", oom.Free, want)
	}
	buffer(t, d, HostCached, 2*limit) // host memory is not limited
	if _, err := d.NewBuffer(DeviceMapped, block, "tables"); !errors.As(err, &oom) || oom.Limit != limit {
		t.Errorf("mapped device memory over the limit: got %v, want an OutOfMemoryError", err)
	}

	now, peak := d.DeviceMemory()
	first.Close()
	if after, still := d.DeviceMemory(); after != now-first.taken || still != peak || peak != now {
		t.Errorf("after close: got %d of peak %d, want %d of %d", after, still, now-first.taken, now)
	}
	buffer(t, d, DeviceLocal, block) // there is room again
}

func TestMemoryFree(t *testing.T) {
	d := open(t, Options{})
	device, host := d.DeviceMemoryFree(), d.HostMemoryFree()
	if device <= 0 || host <= 0 {
		t.Errorf("free: got %d device, %d host, want more than nothing", device, host)
	}
	buffer(t, d, DeviceLocal, 8<<20)
	if after := d.DeviceMemoryFree(); after > device-8<<20 && !d.Info().MemoryBudget {
		t.Errorf("free after 8 MiB: got %d, want at most %d", after, device-8<<20)
	}
}

func TestFillAndCopyParts(t *testing.T) {
	d := open(t, Options{})
	b, back := buffer(t, d, DeviceLocal, 64), buffer(t, d, HostCached, 64)
	run(t, d.Transfers()[0], func(c *Commands) {
		c.Fill(b, 0, 64, 1)
		c.Barrier()
		c.Fill(b, 16, 8, 2)
		c.Fill(b, 0, 0, 3) // nothing
		c.Barrier()
		c.Copy(back, 0, b, 0, 32)
		c.Copy(back, 32, b, 16, 32)
		c.Copy(back, 0, b, 0, 0) // nothing
	})
	want := []uint32{1, 1, 1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 1, 1, 1, 1}
	checkWords(t, back.Bytes(), func(i int) uint32 { return want[i] })
}
