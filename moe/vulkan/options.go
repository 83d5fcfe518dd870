package vulkan

import "fmt"

// Options choose a device and how it is used.
type Options struct {
	Device      string // index or part of a name; empty: the first GPU, else the first device
	MemoryLimit int64  // most device memory to take, in bytes; 0: what the device has
	SingleQueue bool   // run copies on the compute queue, as devices with one queue do
	Validation  string // "", "core", "sync" or "gpu"; needs the Khronos validation layer
	Bank        Hold   // how banks are held, as far as the device lets them be
	PinLimit    int64  // most bytes of a bank that copy engines read directly; 0: what they can
}

// Hold is how the host holds a bank, or a part of it.
type Hold uint8

// The ways to hold. What the driver will not allocate is imported, and what it will not
// import is staged, which always works.
const (
	Best      Hold = iota // Imported where the device takes imports, which is soonest done, else Allocated
	Allocated             // memory of the driver, which copy engines read
	Imported              // the host's own memory, which copy engines were given to read
	Staged                // the host's own memory, which goes through a ring of staging buffers
)

// String is the way's name, in messages and for ParseHold.
func (h Hold) String() string { return [...]string{"best", "allocated", "imported", "staged"}[h] }

// ParseHold reads the name of a way to hold; "" is Best.
func ParseHold(name string) (Hold, error) {
	for h := Best; h <= Staged; h++ {
		if name == h.String() || name == "" {
			return h, nil
		}
	}
	return 0, fmt.Errorf("vulkan: unknown way to hold a bank %q (best, allocated, imported, staged)", name)
}
