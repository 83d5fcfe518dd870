package vulkan

// Options choose a device and how it is used.
type Options struct {
	Device      string // index or part of a name; empty: the first GPU, else the first device
	MemoryLimit int64  // most device memory to take, in bytes; 0: what the device has
	SingleQueue bool   // run copies on the compute queue, as devices with one queue do
	Validation  string // "", "core", "sync" or "gpu"; needs the Khronos validation layer
}
