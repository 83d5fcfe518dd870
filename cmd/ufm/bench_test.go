package main

import (
	"path/filepath"
	"testing"

	"ufm/bench/sweep"
)

// With the traces that it names, a preset has no impossible cell.
func TestPresetsFitTheirTraces(t *testing.T) {
	dir := testData(t)
	if dir == "" {
		t.Skip("SKIPPED: UFM_TESTDATA is not set")
	}
	traces := sweep.Traces{Dir: filepath.Join(dir, "traces"), Open: loadRouting}
	if _, err := sweep.Load(sweep.PresetNames(), traces); err != nil {
		t.Error(err)
	}
}
