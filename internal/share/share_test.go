package share_test

import (
	"runtime"
	"sync/atomic"
	"testing"

	"ufm/internal/share"
)

func TestDo(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 100} {
		calls := make([]atomic.Int32, n)
		share.Do(n, func(i int) { calls[i].Add(1) })
		for i := range calls {
			if got := calls[i].Load(); got != 1 {
				t.Errorf("%d pieces: piece %d was done %d times", n, i, got)
			}
		}
	}
}

// Without another core the caller does everything itself, in order.
func TestDoAlone(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var order []int
	share.Do(5, func(i int) { order = append(order, i) })
	for i, got := range order {
		if got != i {
			t.Errorf("piece %d came as number %d", got, i)
		}
	}
	if len(order) != 5 {
		t.Errorf("got %d pieces, want 5", len(order))
	}
}
