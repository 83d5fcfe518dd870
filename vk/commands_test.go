//go:build cgo && linux

package vk

import (
	"context"
	"strings"
	"testing"
)

func TestSpecialization(t *testing.T) {
	d := open(t, Options{})
	const n = 10
	in, out := buffer(t, d, HostCached, 4*n), buffer(t, d, HostCached, 4*n)
	setWords(in.Bytes(), func(i int) uint32 { return uint32(i) })
	for _, k := range []struct{ scale, offset uint32 }{{1, 0}, {3, 5}} {
		s := newSum(t, d, k.scale, k.offset, in)
		run(t, d.Compute(), func(c *Commands) { s.record(c, out, n) })
		checkWords(t, out.Bytes(), func(i int) uint32 { return k.offset + k.scale*uint32(i) })
	}
}

func TestPipelinesAlternate(t *testing.T) {
	d := open(t, Options{})
	const n = 100
	in, a, b := buffer(t, d, HostCached, 4*n), buffer(t, d, HostCached, 4*n),
		buffer(t, d, HostCached, 4*n)
	setWords(in.Bytes(), func(i int) uint32 { return 1 })
	once, twice := newSum(t, d, 1, 0, in), newSum(t, d, 2, 0, in)
	run(t, d.Compute(), func(c *Commands) {
		once.record(c, a, n)
		twice.record(c, b, n)
		c.Barrier()
		once.record(c, b, n/2)
	})
	checkWords(t, a.Bytes(), func(int) uint32 { return 1 })
	checkWords(t, b.Bytes(), func(i int) uint32 {
		if i < n/2 {
			return 1
		}
		return 2
	})
}

func TestDispatchIndirect(t *testing.T) {
	d := open(t, Options{})
	const n = 256
	in, out := buffer(t, d, HostCached, 4*n), buffer(t, d, HostCached, 4*n)
	setWords(in.Bytes(), func(int) uint32 { return 9 })
	setWords(out.Bytes(), func(int) uint32 { return 0 })
	count := buffer(t, d, DeviceLocal, 16)
	s := newSum(t, d, 1, 0, in)
	run(t, d.Compute(), func(c *Commands) {
		c.Fill(count, 0, 4, 2) // at offset 4: 2 × 1 × 1 workgroups, of 64 words each
		c.Fill(count, 8, 8, 1)
		c.Barrier()
		c.Copy(count, 4, count, 0, 4)
		c.Barrier()
		c.DispatchIndirect(s.pipeline, s.push(out, n), count, 4)
	})
	checkWords(t, out.Bytes(), func(i int) uint32 {
		if i < 2*64 {
			return 9
		}
		return 0
	})
}

func TestRecordingMistakes(t *testing.T) {
	d := open(t, Options{})
	b := buffer(t, d, HostCached, 64)
	s := newSum(t, d, 1, 0, b)
	stamps := must[*Timestamps](t)(d.NewTimestamps(2))
	c := must[*Commands](t)(d.NewCommands(d.Compute()))
	ended := must[*Commands](t)(d.NewCommands(d.Compute()))
	most := d.Info().MaxWorkgroups

	for _, test := range []struct {
		name, want string
		record     func()
	}{
		{"copy past the end", "copy to: 32 bytes at 48", func() { c.Copy(b, 48, b, 0, 32) }},
		{"copy from before", "copy from: 8 bytes at -8", func() { c.Copy(b, 0, b, -8, 8) }},
		{"negative copy", "copy to: -1 bytes", func() { c.Copy(b, 0, b, 0, -1) }},
		{"odd fill", "multiple of 4", func() { c.Fill(b, 2, 4, 0) }},
		{"push size", "23 bytes of push constants for a pipeline of 24",
			func() { c.Dispatch(s.pipeline, make([]byte, 23), 1, 1, 1) }},
		{"workgroups", "workgroups", func() { c.Dispatch(s.pipeline, s.push(b, 1), 1, most[1]+1, 1) }},
		{"indirect end", "indirect dispatch: 12 bytes at 56",
			func() { c.DispatchIndirect(s.pipeline, s.push(b, 1), b, 56) }},
		{"timestamp", "timestamp 2 of 2", func() { c.Timestamp(stamps, 2) }},
		{"first of two", "fill: 4 bytes at 64", func() { c.Fill(b, 64, 4, 0); c.Fill(b, 1, 4, 0) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.Begin()
			test.record()
			c.Fill(b, 0, 4, 0) // ignored
			if err := c.End(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
			if err := d.Compute().Submit(Submission{Commands: c}); err == nil {
				t.Error("submit: got no error for a failed recording")
			}
		})
	}
	ended.Fill(b, 0, 4, 0)
	if err := ended.End(); err == nil {
		t.Error("without Begin: got no error")
	}
	c.Begin() // and the Commands work again
	c.Fill(b, 0, 64, 5)
	if err := c.End(); err != nil {
		t.Errorf("after mistakes: %v", err)
	}
}

func TestTransferQueueRefusesDispatches(t *testing.T) {
	d := open(t, Options{})
	if d.SingleQueue() {
		t.Skip("the device has no queue for transfers alone")
	}
	b := buffer(t, d, HostCached, 64)
	s := newSum(t, d, 1, 0, b)
	c := must[*Commands](t)(d.NewCommands(d.Transfers()[0]))
	c.Begin()
	s.record(c, b, 1)
	if err := c.End(); err == nil {
		t.Error("dispatch on a transfer queue: got no error")
	}
	c.Begin()
	if err := c.End(); err != nil {
		t.Fatal(err)
	}
	if err := d.Compute().Submit(Submission{Commands: c}); err == nil {
		t.Error("submit to another family: got no error")
	}
}

func TestBadPipelines(t *testing.T) {
	d := open(t, Options{})
	for _, test := range []struct {
		name string
		code []byte
		push int
	}{
		{"empty", nil, 0},
		{"text", []byte("#version 450 is not what is wanted "), 0},
		{"cut", sumCode[:len(sumCode)-1], 24},
		{"odd push", sumCode, 23},
		{"negative push", sumCode, -4},
		{"large push", sumCode, d.Info().MaxPushConstants + 4},
	} {
		if _, err := d.NewPipeline(test.code, nil, test.push); err == nil {
			t.Errorf("%s: got no error", test.name)
		}
	}
}

func TestTimestamps(t *testing.T) {
	d := open(t, Options{})
	const n = 8
	stamps := must[*Timestamps](t)(d.NewTimestamps(n))
	times := make([]uint64, n)
	if err := stamps.Read(0, times); err == nil {
		t.Error("before writing: got no error")
	}
	b := buffer(t, d, DeviceLocal, 1<<20)
	for range 2 {
		stamps.Reset(0, n)
		run(t, d.Compute(), func(c *Commands) {
			for i := range n {
				c.Timestamp(stamps, i)
				c.Fill(b, 0, 1<<20, uint32(i))
				c.Barrier()
			}
		})
		if err := stamps.Read(0, times); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < n; i++ {
			if times[i] < times[i-1] {
				t.Errorf("time %d: got %d ns after %d", i, times[i], times[i-1])
			}
		}
		if ns := times[n-1] - times[0]; ns == 0 || ns > 60e9 {
			t.Errorf("7 MiB filled in %d ns", ns)
		}
	}
	if err := stamps.Read(4, times); err == nil {
		t.Error("past the end: got no error")
	}
}

// A step records and submits thousands of times: neither may leave garbage.
func TestRecordingDoesNotAllocate(t *testing.T) {
	d := open(t, Options{})
	b := buffer(t, d, HostCached, 64)
	s := newSum(t, d, 1, 0, b)
	c := must[*Commands](t)(d.NewCommands(d.Compute()))
	done := must[*Timeline](t)(d.NewTimeline())
	value := uint64(0)
	push := s.push(b, 16)
	step := func() {
		c.Begin()
		c.Dispatch(s.pipeline, push, 1, 1, 1)
		c.Barrier()
		c.Fill(b, 0, 4, 1)
		c.Barrier()
		c.Copy(b, 8, b, 0, 4)
		if err := c.End(); err != nil {
			t.Fatal(err)
		}
		value++
		err := d.Compute().Submit(Submission{Commands: c,
			Wait: []Point{{done, value - 1}}, Signal: []Point{{done, value}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := done.Wait(context.Background(), value); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if got := testing.AllocsPerRun(50, step); got > 0 {
		t.Errorf("got %v allocations a step, want 0", got)
	}
}
