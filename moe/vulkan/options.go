package vulkan

import "fmt"

// Options choose a device and how it is used.
type Options struct {
	Device      string // index or part of a name; empty: the first GPU, else the first device
	MemoryLimit int64  // most device memory to take, in bytes; 0: what the device has
	SingleQueue bool   // run copies on the compute queue, as devices with one queue do
	Validation  string // "", "core", "sync" or "gpu"; needs the Khronos validation layer
	Bank        Hold   // how banks are held if possible, and if not, in the next way
	PinLimit    int64  // most bytes of a bank that copy engines read directly; 0: what they can
}

// Hold is how the host holds a bank, or a part of it.
type Hold uint8

// The ways to hold, from the best to the one that always works.
const (
	Allocated Hold = iota // memory of the driver, which copy engines read
	Imported              // the host's own memory, which copy engines were given to read
	Staged                // the host's own memory, which goes through a ring of staging buffers
)

// String is the way's name, in messages and for ParseHold.
func (h Hold) String() string { return [...]string{"allocated", "imported", "staged"}[h] }

// ParseHold reads the name of a way to hold; "" is Allocated.
func ParseHold(name string) (Hold, error) {
	for h := Allocated; h <= Staged; h++ {
		if name == h.String() || name == "" {
			return h, nil
		}
	}
	return 0, fmt.Errorf("vulkan: unknown way to hold a bank %q (allocated, imported, staged)", name)
}
