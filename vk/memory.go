package vk

import (
	"math/bits"
	"sync"
)

// Memory says where a buffer lives and who can reach it.
type Memory uint8

// The memories.
const (
	// DeviceLocal is the device's own memory. The host cannot reach it.
	DeviceLocal Memory = iota
	// HostCached is host memory that the host reads and writes at full speed, and that
	// the copy engine reads directly: for what is uploaded, and for reading back.
	HostCached
	// HostCoherent is host memory that the host only writes, in order: for tables.
	HostCoherent
	// DeviceMapped is device memory that the host writes across the link, never reads: for
	// small tables that every workgroup reads. Without it, it is HostCoherent.
	DeviceMapped
)

// String names the memory in messages.
func (m Memory) String() string {
	return [...]string{"device-local", "host-cached", "host-coherent", "device-mapped"}[m]
}

// Property flags of memory types, as Vulkan numbers them.
const (
	flagDeviceLocal  = 1
	flagHostVisible  = 2
	flagHostCoherent = 4
	flagHostCached   = 8
)

// memoryType is one entry of a device's list.
type memoryType struct {
	flags uint32
	heap  int
}

// chooseType finds the type for m among those allowed (a bit each). It takes the one with
// the fewest properties beyond those asked for: on a discrete GPU that keeps tables out of
// device memory and pools out of the part that the host can see, while a device with one
// type for everything still serves.
func chooseType(types []memoryType, allowed uint32, m Memory) (int, bool) {
	wants := [...][]uint32{
		DeviceLocal: {flagDeviceLocal},
		HostCached: {flagHostVisible | flagHostCoherent | flagHostCached,
			flagHostVisible | flagHostCoherent},
		HostCoherent: {flagHostVisible | flagHostCoherent},
		DeviceMapped: {flagDeviceLocal | flagHostVisible | flagHostCoherent,
			flagHostVisible | flagHostCoherent},
	}[m]
	for _, want := range wants {
		best, fewest := -1, 33
		for i, t := range types {
			extra := bits.OnesCount32(t.flags &^ want)
			if allowed>>i&1 == 1 && t.flags&want == want && extra < fewest {
				best, fewest = i, extra
			}
		}
		if best >= 0 {
			return best, true
		}
	}
	return 0, false
}

// ledger counts the memory that was taken through one Device. Host memory is counted by
// heap but not against the limit.
type ledger struct {
	limit int64 // of device-local bytes; 0: none

	mu          sync.Mutex
	local, peak int64     // bytes of device memory
	heaps       [16]int64 // all bytes, by heap
}

// onDevice tells whether memory that was asked for as m, and is of type t, is the device's.
// On a device with one memory for all, what was asked for as the host's is the host's.
func onDevice(m Memory, t memoryType) bool {
	return m == DeviceLocal || m == DeviceMapped && t.flags&flagDeviceLocal != 0
}

// take books n bytes before the driver is asked for them, unless they are the device's and
// break the limit.
func (l *ledger) take(local bool, heap int, n int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if local {
		if l.limit > 0 && n > l.limit-l.local {
			return false
		}
		l.local += n
	}
	l.heaps[heap] += n
	return true
}

// granted notes that the driver gave what was booked: only that counts as a peak.
func (l *ledger) granted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peak = max(l.peak, l.local)
}

// give takes back what take booked.
func (l *ledger) give(local bool, heap int, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if local {
		l.local -= n
	}
	l.heaps[heap] -= n
}

// taken returns the device-local bytes taken now and at most.
func (l *ledger) taken() (now, peak int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.local, l.peak
}

// used returns all bytes taken of a heap.
func (l *ledger) used(heap int) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heaps[heap]
}
