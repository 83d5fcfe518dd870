package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"ufm/internal/trace"
	"ufm/sim"
)

// The same rows give the same files, byte for byte, and other rows others.
func TestPlotSim(t *testing.T) {
	tr := &trace.Trace{Layers: 2, Experts: 64, TopK: 4}
	sources := []sim.Source{{Name: "a/b.csv", Trace: tr}}
	var rows []sim.Row
	for i, policy := range []string{"lru", "nextuse", "belady"} {
		for slots := 8; slots <= 128; slots *= 2 {
			rows = append(rows, sim.Row{
				Trace: "a/b.csv", Policy: policy, Slots: slots, HitRate: float64(slots+10*i) / 160,
			})
		}
	}
	draw := func() [][]byte {
		t.Helper()
		files, err := PlotSim(filepath.Join(t.TempDir(), "plots"), sources, rows)
		if err != nil || len(files) != 2 {
			t.Fatalf("got %v, error %v", files, err)
		}
		var all [][]byte
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
		return all
	}
	first, again := draw(), draw()
	rows[3].HitRate = 0.9
	other := draw()
	for i, kind := range []string{"svg", "png"} {
		if !bytes.Equal(first[i], again[i]) {
			t.Errorf("%s: the same rows give other bytes", kind)
		}
		if bytes.Equal(first[i], other[i]) {
			t.Errorf("%s: other rows give the same bytes", kind)
		}
	}
	for _, text := range []string{"token cycle: 8", "from lru to the bound", "nextuse"} {
		if !bytes.Contains(first[0], []byte(text)) {
			t.Errorf("the svg has no %q", text)
		}
	}
	if _, err := PlotSim(t.TempDir(), []sim.Source{{Name: "none", Trace: tr}}, rows); err == nil {
		t.Error("a trace without rows: got no error")
	}
}
