// Package share divides short work among goroutines.
package share

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Do calls do(0) to do(n−1), each once, and returns when all have ended. Other goroutines help,
// but the caller waits for none to begin: it takes whatever is left, from the first on. So work
// that is shorter than an idle core takes to wake up (60 to 100 µs on a virtual machine) hardly
// takes longer than without them. One that wakes up later finds nothing to do, and ends.
func Do(n int, do func(i int)) {
	var next atomic.Int64
	var pieces sync.WaitGroup
	pieces.Add(n)
	take := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			do(i)
			pieces.Done()
		}
	}
	for range min(n, runtime.GOMAXPROCS(0)) - 1 {
		go take()
	}
	take()
	pieces.Wait()
}
