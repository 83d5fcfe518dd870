//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"context"
	"fmt"
	"time"

	"github.com/vulkan-go/vulkan"
)

// Timeline is a counter that the device raises and both sides wait for. It begins at 0.
type Timeline struct {
	device *Device
	handle vulkan.Semaphore
}

// How Wait waits. Waking up takes longer than a short wait (34 µs on an H100 after short
// waits, 200 after long ones): so it spins, and then naps between looks, with a timer that
// is nearer than the driver's interrupt. But a device that is the host's own cores needs
// them itself, and a slice must end often enough to see a lost device or a context's end.
const (
	spinTime    = 10 * time.Millisecond
	napTime     = 20 * time.Microsecond
	spinTimeCPU = 50 * time.Microsecond
	waitSlice   = 20 * time.Millisecond
)

// NewTimeline makes a timeline.
func (d *Device) NewTimeline() (*Timeline, error) {
	if err := d.usable("timeline"); err != nil {
		return nil, err
	}
	t, err := d.newTimeline()
	if err != nil {
		return nil, err
	}
	d.objects.add(t, "timeline")
	return t, nil
}

func (d *Device) newTimeline() (*Timeline, error) {
	t := &Timeline{device: d}
	r := vulkan.Result(C.ufm_timeline_new(d.shim, into(&t.handle)))
	return t, d.check("timeline", r)
}

// Value is how far the timeline has come.
func (t *Timeline) Value() (uint64, error) {
	if err := t.device.usable("timeline"); err != nil {
		return 0, err
	}
	var v C.uint64_t
	r := vulkan.Result(C.ufm_timeline_value(t.device.shim, bitsOf(t.handle), &v))
	return uint64(v), t.device.check("timeline", r)
}

// Wait waits until the timeline reaches v, the context ends, the device is lost or
// Options.WaitLimit is over (ErrTimeout).
func (t *Timeline) Wait(ctx context.Context, v uint64) error {
	spin, nap := spinTime, napTime
	if t.device.physical.info.Kind == "CPU" {
		spin, nap = spinTimeCPU, 0
	}
	for start := time.Now(); ; spin = 0 {
		if err := t.device.usable("wait"); err != nil {
			return err
		}
		left := t.device.waitLimit - time.Since(start)
		done, err := t.poll(v, spin, nap, max(0, min(left, waitSlice)))
		if done || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("vk: wait: %w", err)
		}
		if left <= 0 {
			return t.timeout(v)
		}
	}
}

// Close ends the use of the timeline. Its memory, which is little, goes with the device.
func (t *Timeline) Close() error {
	if t.device.objects.remove(t) {
		t.device.retire(t)
	}
	return nil
}

// retire keeps a timeline's handle until the device closes. To destroy it any earlier is
// legal once nothing waits for it, but lavapipe's submission thread lets go of the timelines
// that a submission waited for only some time after it has signaled that submission's end.
func (d *Device) retire(t *Timeline) {
	d.retiredMu.Lock()
	defer d.retiredMu.Unlock()
	d.retired = append(d.retired, t.handle)
}

// block waits for v in one go, also on a device that is being closed.
func (t *Timeline) block(v uint64) error {
	done, err := t.poll(v, 0, 0, t.device.waitLimit)
	if err == nil && !done {
		err = t.timeout(v)
	}
	return err
}

// poll spins, then naps, or blocks if nap is 0, and reports whether v was reached.
func (t *Timeline) poll(v uint64, spin, nap, block time.Duration) (bool, error) {
	r := vulkan.Result(C.ufm_timeline_wait(t.device.shim, bitsOf(t.handle), C.uint64_t(v),
		C.uint64_t(spin), C.uint64_t(nap), C.uint64_t(block)))
	return r == vulkan.Success, t.device.check("wait", r)
}

func (t *Timeline) timeout(v uint64) error {
	return fmt.Errorf("vk: wait: %w: value %d not reached in %v", ErrTimeout, v,
		t.device.waitLimit)
}
