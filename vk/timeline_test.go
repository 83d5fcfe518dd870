//go:build cgo && linux

package vk

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"
)

func TestTimelineOfEmptySubmissions(t *testing.T) {
	d := open(t, Options{})
	line := must[*Timeline](t)(d.NewTimeline())
	if v, err := line.Value(); v != 0 || err != nil {
		t.Errorf("new timeline: got %d, %v, want 0", v, err)
	}
	err := d.Compute().Submit(
		Submission{Signal: []Point{{line, 3}}},
		Submission{Wait: []Point{{line, 3}}, Signal: []Point{{line, 7}}})
	if err != nil {
		t.Fatal(err)
	}
	values := []uint64{0, 3, 5, 7}
	if os.Getenv("UFM_VALIDATION") != "" {
		values = []uint64{0, 3, 7} // the layer takes long for values that nothing signals
	}
	for _, v := range values {
		if err := line.Wait(context.Background(), v); err != nil {
			t.Errorf("wait for %d: %v", v, err)
		}
	}
	if v, err := line.Value(); v != 7 || err != nil {
		t.Errorf("in the end: got %d, %v, want 7", v, err)
	}
	if err := d.Compute().Submit(); err != nil {
		t.Errorf("submit nothing: %v", err)
	}
}

func TestWaitLimit(t *testing.T) {
	d := open(t, Options{WaitLimit: 30 * time.Millisecond})
	line := must[*Timeline](t)(d.NewTimeline())
	start := time.Now()
	err := line.Wait(context.Background(), 1)
	if !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v, want ErrTimeout", err)
	}
	if took := time.Since(start); took < 30*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %v, want about 30ms", took)
	}
}

func TestWaitCancelled(t *testing.T) {
	d := open(t, Options{})
	line := must[*Timeline](t)(d.NewTimeline())
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := line.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := line.Wait(ctx, 0); err != nil {
		t.Errorf("a value reached, context cancelled: got %v, want nil", err)
	}
}

func TestLossEndsWaits(t *testing.T) {
	d := open(t, Options{})
	line := must[*Timeline](t)(d.NewTimeline())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := line.Wait(context.Background(), 1); !errors.Is(err, ErrDeviceLost) {
				t.Errorf("got %v, want ErrDeviceLost", err)
			}
		})
	}
	time.Sleep(5 * time.Millisecond)
	d.lose()
	wg.Wait()
}
