package bench

import (
	"context"
	"testing"

	"ufm/internal/hardware"
	"ufm/moe"
)

// Every storage type is measured at every number of rows, in rising order, and a
// cancelled measurement ends.
func TestTimeExperts(t *testing.T) {
	b := moe.NewCPU(moe.CPUOptions{})
	defer b.Close()
	s := moe.Shape{Layers: 1, Experts: 4, TopK: 1, DModel: 64, DHidden: 512, DType: moe.F16}
	rates, err := timeExperts(context.Background(), b, s)
	if err != nil || len(rates) != len(timingRows) {
		t.Fatalf("got %v, error %v, want %d rates", rates, err, len(timingRows))
	}
	for i, r := range rates {
		if r.DType != "f16" || r.Rows != float64(timingRows[i]) || r.GBs <= 0 || r.OneGBs <= 0 {
			t.Errorf("got %+v", r)
		}
	}
	var timing hardware.Timing
	if err := timeLayer(context.Background(), b, s, &timing); err != nil || timing.LayerUs <= 0 {
		t.Errorf("got %+v, error %v", timing, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := MeasureTiming(ctx, b); err == nil {
		t.Error("cancelled: got no error")
	}
	if got := copiesOf(b); got != hardware.ByCores {
		t.Errorf("the CPU backend copies by %q", got)
	}
}
