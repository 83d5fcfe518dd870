package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"ufm/bench"
)

// progress shows people how a run goes: a bar on a terminal, else a line for each mode.
type progress struct {
	w        io.Writer
	terminal bool
	mu       sync.Mutex
	bar      *progressbar.ProgressBar // nil: none is shown
	what     string                   // that the bar is about
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// Progress moves the bar.
func (p *progress) Progress(what string, done, total int64) {
	if !p.terminal {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil || p.what != what {
		p.clear()
		p.what = what
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(p.w),
			progressbar.OptionSetDescription(what),
			progressbar.OptionShowBytes(what == bench.BuildingBank),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish())
	}
	_ = p.bar.Set64(done) // a bar that cannot be drawn is no failure of the run
}

// Note prints a line.
func (p *progress) Note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintln(p.w, "ufm:", line)
}

// Finished prints a line for a mode that has ended.
func (p *progress) Finished(r bench.Row) {
	if r.Steps == nil {
		p.Note(fmt.Sprintf("%s: %s", r.Mode, r.Status))
		return
	}
	p.Note(fmt.Sprintf("%s: %s after %d steps of %.3g ms",
		r.Mode, r.Status, *r.Steps, *r.StepMsMedian))
}

// end leaves the terminal clean.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
