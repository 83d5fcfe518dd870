package moe

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"ufm/internal/kernel"
)

// CPUOptions configures the CPU backend.
type CPUOptions struct {
	Threads     int   // 0: one for each core
	MemoryLimit int64 // most bytes that runners may take for slots and activations; 0: what is free
}

// NewCPU returns the backend that runs on the host's cores, with AVX2 or AVX-512 where
// the processor has them and without cgo anywhere. Its "device
// memory" is ordinary memory, and uploads are copies within it: paging gains nothing
// there, but takes the same decisions and gives the same bits as anywhere.
func NewCPU(opts CPUOptions) Backend {
	threads := opts.Threads
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &cpuBackend{threads: threads, limit: opts.MemoryLimit, kernels: kernel.Best()}
}

type cpuBackend struct {
	threads int
	kernels *kernel.Set
	limit   int64 // 0: none but the host's memory
	used    int64 // by runners
	pledged int64 // of that, what runners have yet to write to: the host still calls it free
}

func (b *cpuBackend) Name() string { return "cpu" }

func (b *cpuBackend) Device() Device {
	return Device{
		Name: processorName(),
		Driver: fmt.Sprintf("%s %s/%s %s", runtime.Version(), runtime.GOOS, runtime.GOARCH,
			b.kernels.Name),
		Unified:  true,
		MemBytes: b.memory(),
	}
}

func (b *cpuBackend) Close() error { return nil }

// memory is what runners may take in all.
func (b *cpuBackend) memory() int64 {
	if b.limit > 0 {
		return b.limit
	}
	total, _ := hostMemory()
	return total
}

// free is what runners may still take, if anything tells. wanted is what one would take.
func (b *cpuBackend) free(wanted int64) (bytes int64, known bool) {
	available, known := availableMemory(wanted)
	if b.limit == 0 {
		return available, known
	}
	if known {
		return min(b.limit-b.used, available), true
	}
	return b.limit - b.used, true
}

// processorName is what Linux calls the first processor, or its architecture.
func processorName() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// each calls f for 0..n-1 from one goroutine per worker and returns when all calls
// have. Which worker does what is left to chance; results must not depend on it.
func each[W any](workers []W, n int, f func(w W, i int)) {
	if len(workers) == 1 || n == 1 {
		for i := range n {
			f(workers[0], i)
		}
		return
	}
	var next atomic.Int64
	var done sync.WaitGroup
	for _, w := range workers[:min(n, len(workers))] {
		done.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(w, int(i))
			}
		})
	}
	done.Wait()
}
