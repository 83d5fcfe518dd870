package vulkan

import (
	"slices"
	"testing"
)

func TestSpans(t *testing.T) {
	// Two queues: their copies overlap, touch, and leave a gap.
	got := union([]span{{50, 60}, {0, 10}, {5, 20}, {20, 30}, {52, 55}})
	if want := []span{{0, 30}, {50, 60}}; !slices.Equal(got, want) {
		t.Fatalf("union: got %v, want %v", got, want)
	}
	for _, c := range []struct{ begin, end, want uint64 }{
		{0, 100, 40}, {10, 20, 10}, {25, 55, 10}, {30, 50, 0}, {60, 60, 0}, {70, 60, 0},
	} {
		if v := overlap(got, c.begin, c.end); v != c.want {
			t.Errorf("overlap with %d to %d: got %d, want %d", c.begin, c.end, v, c.want)
		}
	}
	if got := union(nil); len(got) != 0 {
		t.Errorf("union of nothing: got %v", got)
	}
}
