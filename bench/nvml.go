//go:build cgo && linux

package bench

import (
	"os"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// processMemory is the device memory that NVIDIA's driver counts for this process,
// on all cards; nil where there is no such driver or it does not tell.
func processMemory() *int64 {
	if nvml.Init() != nvml.SUCCESS {
		return nil
	}
	defer nvml.Shutdown()
	cards, status := nvml.DeviceGetCount()
	if status != nvml.SUCCESS {
		return nil
	}
	var bytes int64
	for i := range cards {
		if card, status := nvml.DeviceGetHandleByIndex(i); status == nvml.SUCCESS {
			bytes += memoryOn(card)
		}
	}
	if bytes == 0 {
		return nil
	}
	return &bytes
}

// memoryOn looks through both lists of processes: which one a Vulkan process stands
// in, or both, depends on the driver.
func memoryOn(card nvml.Device) int64 {
	const unknown = ^uint64(0)
	var most uint64
	compute, _ := card.GetComputeRunningProcesses()
	graphics, _ := card.GetGraphicsRunningProcesses()
	for _, p := range append(compute, graphics...) {
		if int(p.Pid) == os.Getpid() && p.UsedGpuMemory != unknown {
			most = max(most, p.UsedGpuMemory)
		}
	}
	return int64(most)
}
