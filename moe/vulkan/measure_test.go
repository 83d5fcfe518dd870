//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"slices"
	"testing"

	"ufm/internal/hardware"
	"ufm/vk"
)

// plausible checks what both measurements tell.
func plausible(t *testing.T, c hardware.Ceilings) {
	t.Helper()
	for name, v := range map[string]float64{
		"read": c.ReadGBs, "link": c.LinkGBs, "f32": c.F32TFlops * 1000,
	} {
		if v < 0.05 || v > 1e6 {
			t.Errorf("%s: got %g", name, v)
		}
	}
}

// TestMeasure expects plausible ceilings, and no more than limits need.
func TestMeasure(t *testing.T) {
	c, err := open(t, Options{}).Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plausible(t, c)
	if c.Cramped || c.Link != nil || c.OverAllocation != "" {
		t.Errorf("got %+v", c)
	}
}

// TestMatrixFlops: the units' rate is known where the device reports such products.
func TestMatrixFlops(t *testing.T) {
	b := open(t, Options{})
	c, err := b.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for operand, rate := range map[string]float64{"bf16": c.BF16TFlops, "f16": c.F16TFlops} {
		shape, ok := largestMatrix(b.device.Info(), operand)
		t.Logf("%s: %+v, %g TFLOP/s", operand, shape, rate)
		if ok != (rate > 0) || rate > 1e4 {
			t.Errorf("%s: got %g TFLOP/s in %+v", operand, rate, shape)
		}
	}
}

// TestLargestMatrix: other operands, sums of 16 bits and shapes that do not load in pieces
// of 16 bytes do not count.
func TestLargestMatrix(t *testing.T) {
	shape := func(m, n, k int, operand, sum string) vk.MatrixShape {
		return vk.MatrixShape{M: m, N: n, K: k, A: operand, B: operand, C: sum, Result: sum}
	}
	info := vk.DeviceInfo{Matrices: []vk.MatrixShape{
		shape(16, 8, 8, "f16", "f32"), shape(16, 16, 16, "f16", "f32"), shape(16, 8, 16, "f16", "f32"),
		shape(32, 32, 32, "f16", "f16"), shape(64, 64, 4, "f16", "f32"), shape(16, 16, 16, "bf16", "f32"),
	}}
	if got, ok := largestMatrix(info, "f16"); !ok || got != info.Matrices[1] {
		t.Errorf("f16: got %+v, %v", got, ok)
	}
	if got, ok := largestMatrix(info, "bf16"); ok {
		t.Errorf("bf16 that shaders may not use: got %+v", got)
	}
	info.BFloat16Matrices = true
	if got, ok := largestMatrix(info, "bf16"); !ok || got != info.Matrices[5] {
		t.Errorf("bf16: got %+v, %v", got, ok)
	}
}

// TestMeasureAll expects every figure that this device can give, in the small: with a
// limit on its memory the long measurement takes little time.
func TestMeasureAll(t *testing.T) {
	const limit = 17 << 20
	b := open(t, Options{MemoryLimit: limit})
	c, err := b.MeasureAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plausible(t, c)
	if now, peak := b.device.DeviceMemory(); now != 0 || peak == 0 || peak > limit {
		t.Errorf("took %d bytes of device memory, %d are left over; the limit is %d", peak, now, limit)
	}
	if !c.Cramped {
		t.Error("a measurement in 17 MiB must not be kept")
	}
	if n := len(c.Link); n != 5 || c.Link[0].Bytes != 64<<10 || c.Link[4].Bytes != 16<<20 {
		t.Fatalf("got %+v, want sizes from 64 KiB to 16 MiB", c.Link)
	}
	for _, r := range c.Link {
		idle := []float64{r.UpGBs, r.OneQueueGBs, r.DownGBs, r.DownOneQueueGBs}
		busy := []float64{r.BusyGBs, r.OneQueueBusyGBs, r.DownBusyGBs, r.DownOneQueueBusyGBs}
		if b.device.SingleQueue() && slices.Max(busy) == 0 {
			busy = idle
		}
		if slices.Min(idle) < 0.01 || slices.Max(idle) > 1e4 ||
			slices.Min(busy) < 0.01 || slices.Max(busy) > 1e4 {
			t.Errorf("got %+v", r)
		}
	}
	for name, v := range map[string]float64{
		"copy GB/s": c.CopyGBs, "back GB/s": c.LinkBackGBs, "submit and wait µs": c.SubmitWaitUs,
		"allocate s/GiB × 1e6": 1e6 * c.AllocateSPerGiB,
	} {
		if v < 0.01 || v > 1e6 {
			t.Errorf("%s: got %g", name, v)
		}
	}
	if h := c.Host; h == nil || min(h.LayerUs, h.ResidentUs, h.UploadUs, h.ComputeUs) <= 0 ||
		max(h.LayerUs, h.ResidentUs, h.UploadUs, h.ComputeUs, h.CopyUs) > 1e5 {
		t.Errorf("host: got %+v", h)
	}
	if one := b.device.SingleQueue(); one != (c.CopyWaitUs == 0) || c.CopyWaitUs > 1e5 {
		t.Errorf("a copy waits %g µs for its compute, on a single queue: %v", c.CopyWaitUs, one)
	}
	for name, i := range map[string]hardware.Import{
		"anonymous": c.ImportAnonymous, "file": c.ImportFile,
	} {
		if (i.GBs > 0) == (i.Refused != "") || (i.GBs > 0) != (i.SPerGiB > 0) {
			t.Errorf("import of %s memory: got %+v, want a rate or a refusal", name, i)
		}
	}
	if c.OverAllocation != "" {
		t.Errorf("got %q, but a limit hides what the driver does", c.OverAllocation)
	}
}

// openHostTimer opens a timer that is closed at the test's end.
func openHostTimer(t *testing.T, o Options) *hostTimer {
	t.Helper()
	h, err := open(t, o).newHostTimer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// TestHostTimer: a group of misses is cut into the uploads and computes that are divided by.
func TestHostTimer(t *testing.T) {
	h := openHostTimer(t, Options{})
	for _, c := range []struct{ misses, bundle, uploads int }{{8, 1, 8}, {64, 1, 64}, {64, 8, 8}} {
		plan := h.plan(c.misses, c.bundle)
		uploads, computes := 0, 0
		for _, o := range h.schedule.group(plan) {
			if o.upload {
				uploads++
			} else {
				computes++
			}
		}
		if uploads != c.uploads || computes != c.uploads {
			t.Errorf("%d misses in bundles of %d: got %d uploads and %d computes, want %d of each",
				c.misses, c.bundle, uploads, computes, c.uploads)
		}
	}
}

// TestBusyUploads: uploads beside compute have a rate where they have a queue of their own,
// and none where they wait for the compute.
func TestBusyUploads(t *testing.T) {
	b := open(t, Options{MemoryLimit: 4 << 20})
	p := newProbe(b, true)
	err := errors.Join(p.open(vk.DeviceLocal), p.openHost())
	defer func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	all := p.transferQueues()
	copies := deal(all, 1<<20, p.linkBytes, p.upload(p.host))
	alone, readGBs := 1e-3, 10.0 // seconds of the copies, and about what the device reads
	if b.device.Info().Kind != cpuKind {
		readGBs = 3000
	}
	rate, err := p.busy(t.Context(), all, copies, p.linkBytes, alone, readGBs)
	if err != nil || (rate == 0) != b.device.SingleQueue() || rate > 1e4 {
		t.Errorf("got %g GB/s, %v", rate, err)
	}
}

// TestMeasureUnderTinyLimit: the limit leaves room for one workgroup's memory alone.
func TestMeasureUnderTinyLimit(t *testing.T) {
	c, err := open(t, Options{MemoryLimit: 100 << 10}).Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plausible(t, c)
}

func TestMeasureIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, Options{}).MeasureAll(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}

// TestHeatTakesNoDeviceMemory: a run that has filled its limit is heated, too.
func TestHeatTakesNoDeviceMemory(t *testing.T) {
	b := open(t, Options{MemoryLimit: 1})
	if err := b.Heat(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if _, peak := b.device.DeviceMemory(); peak != 0 {
		t.Errorf("took %d bytes", peak)
	}
}
