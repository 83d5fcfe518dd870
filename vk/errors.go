package vk

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// Errors that a caller branches on. All but ErrNoCgo come wrapped in what was tried.
var (
	// ErrNoCgo is returned by a build without cgo or for another system than Linux.
	ErrNoCgo = errors.New("vk: built without Vulkan (needs Linux, CGO_ENABLED=1 and a C compiler)")
	// ErrNoLoader means that libvulkan.so.1 is not installed (Debian: libvulkan1).
	ErrNoLoader = errors.New("no Vulkan loader")
	// ErrNoDevice means that there is no device, or none of that index or name.
	ErrNoDevice = errors.New("no Vulkan device")
	// ErrDeviceLost is final for a Device: all that is left is to close it.
	ErrDeviceLost error = deviceLost{}
	// ErrTimeout means that a wait reached Options.WaitLimit.
	ErrTimeout error = timeout{}
)

// deviceLost can be told by callers who do not know this package.
type deviceLost struct{}

func (deviceLost) Error() string { return "device lost" }

// DeviceLost marks the error as one that only a new device cures.
func (deviceLost) DeviceLost() {}

// timeout tells by its method what it is, as the errors of the standard library do.
type timeout struct{}

func (timeout) Error() string { return "wait limit reached" }

// Timeout marks the error as the end of a wait's time.
func (timeout) Timeout() bool { return true }

// MissingFeatureError tells that a device lacks what this package requires.
type MissingFeatureError struct {
	Device  string
	Feature string
}

// Error names the device and the feature.
func (e *MissingFeatureError) Error() string {
	return fmt.Sprintf("vk: device %q lacks %s", e.Device, e.Feature)
}

// Heap is one memory of a device.
type Heap struct {
	Size        int64
	Budget      int64 // what this process may use of it; Size if the driver does not tell
	Used        int64 // by this process
	DeviceLocal bool
}

// OutOfMemoryError tells that a buffer does not fit its memory or the memory limit.
type OutOfMemoryError struct {
	What      string // what the memory was for
	Requested int64  // 0: the driver's own need, of unknown size
	Free      int64  // of the memory asked for, at most what the limit leaves
	Heaps     []Heap
	Limit     int64 // Options.MemoryLimit where the memory asked for is subject to it, else 0
	// MaxAllocation is the largest buffer of the device, where that is what does not
	// suffice, else 0.
	MaxAllocation int64
}

// Error names what the memory was for, both sizes, and how full each heap is.
func (e *OutOfMemoryError) Error() string {
	s := "vk: out of memory: " + e.What
	if e.Requested > 0 {
		s += fmt.Sprintf(" needs %s, %s are free", size(e.Requested), size(e.Free))
	}
	if detail := e.Breakdown(); detail != "" {
		s += " (" + detail + ")"
	}
	return s
}

// Breakdown is the limit and the heaps in words, for messages that wrap this one.
func (e *OutOfMemoryError) Breakdown() string {
	var parts []string
	if e.MaxAllocation > 0 {
		parts = append(parts, "largest buffer "+size(e.MaxAllocation))
	}
	if e.Limit > 0 {
		parts = append(parts, "limit "+size(e.Limit))
	}
	for i, h := range e.Heaps {
		kind := "host"
		if h.DeviceLocal {
			kind = "device"
		}
		parts = append(parts, fmt.Sprintf("heap %d: %s, %s, budget %s, used %s",
			i, kind, size(h.Size), size(h.Budget), size(h.Used)))
	}
	return strings.Join(parts, "; ")
}

// size writes n bytes for people, with a tenth of the unit: a limit of 23.5 GiB is not one
// of 24. Nothing here is ever negative but a rounding error.
func size(n int64) string {
	for i, unit := range []string{"GiB", "MiB", "KiB"} {
		if one := float64(int64(1) << (30 - 10*i)); float64(n) >= one {
			return humanize.FtoaWithDigits(float64(n)/one, 1) + " " + unit
		}
	}
	return fmt.Sprintf("%d B", max(n, 0))
}
