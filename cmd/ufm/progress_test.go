package main

import (
	"strings"
	"testing"

	"ufm/bench"
)

func TestProgressOnATerminal(t *testing.T) {
	var b strings.Builder
	p := &progress{w: &b, terminal: true}
	p.Progress(bench.BuildingBank, 1<<20, 4<<20)
	if got := b.String(); !strings.Contains(got, "bank") || !strings.Contains(got, "25%") {
		t.Errorf("got %q, want a bar of the bank at 25%%", got)
	}
	p.Progress("ufm", 1, 2)
	if got := b.String(); !strings.Contains(got, "ufm") || !strings.Contains(got, "50%") {
		t.Errorf("got %q, want a bar of the mode at 50%%", got)
	}
	p.Finished(bench.Row{Mode: "ufm", Status: bench.StatusOK, Steps: new(3), StepMsMedian: new(1.5)})
	p.Finished(bench.Row{Mode: "naive", Status: bench.StatusOOM})
	p.end()
	if got := b.String(); !strings.HasSuffix(got,
		"ufm: ufm: ok after 3 steps of 1.5 ms\nufm: naive: oom\n") {
		t.Errorf("got %q, want a line for each mode at its end", got)
	}
}

func TestProgressElsewhere(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b)
	p.Progress("ufm", 1, 2)
	p.Note("a word")
	p.end()
	if got, want := b.String(), "ufm: a word\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
