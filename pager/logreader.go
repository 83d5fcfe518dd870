package pager

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// LogReader reads an event log line by line.
type LogReader struct {
	header LogHeader
	r      *bufio.Reader
	line   int // number of the last line read
	event  Event
}

// ReadLog reads the header of the log in r.
func ReadLog(r io.Reader) (*LogReader, error) {
	l := &LogReader{r: bufio.NewReaderSize(r, 1<<16)}
	if err := l.decode(&l.header); err != nil {
		if err == io.EOF {
			return nil, errors.New("pager: event log: empty, want a header")
		}
		return nil, l.wrap(err)
	}
	h := &l.header
	if h.Version != LogVersion {
		return nil, l.wrap(fmt.Errorf("version %d, want %d", h.Version, LogVersion))
	}
	if err := (&Options{Shape: h.Shape, Slots: h.Slots}).validate(); err != nil {
		return nil, l.wrap(err)
	}
	if h.Order != ResidentFirst.String() && h.Order != Ascending.String() {
		return nil, l.wrap(fmt.Errorf("order %q, want %q or %q",
			h.Order, ResidentFirst, Ascending))
	}
	return l, nil
}

// Header is the log's first line.
func (l *LogReader) Header() LogHeader { return l.header }

// Line is the number of the last line read, from 1.
func (l *LogReader) Line() int { return l.line }

// record is a line as it stands in the file.
type record struct {
	Step       *int      `json:"step"`
	Layer      *int      `json:"layer"`
	Phase      string    `json:"phase"`
	Hits       []int64   `json:"hits"`
	Misses     [][]int64 `json:"misses"`
	Prefetches [][]int64 `json:"prefetches"`
}

// Next returns the next event, or io.EOF after the last one. The event and its slices
// are valid until the next call.
func (l *LogReader) Next() (*Event, error) {
	var r record
	if err := l.decode(&r); err != nil {
		if err == io.EOF {
			return nil, io.EOF
		}
		return nil, l.wrap(err)
	}
	if err := l.fill(&r); err != nil {
		return nil, l.wrap(err)
	}
	return &l.event, nil
}

func (l *LogReader) decode(v any) error {
	line, err := l.r.ReadBytes('\n')
	if err == io.EOF && len(line) > 0 {
		l.line++
		return errors.New("the line is cut off: it does not end in a newline")
	}
	if err != nil {
		return err
	}
	l.line++
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		if err == io.EOF {
			return errors.New("the line is empty")
		}
		return err
	}
	if len(bytes.TrimSpace(line[dec.InputOffset():])) > 0 {
		return errors.New("the line goes on after its end")
	}
	return nil
}

// fill turns a line into the event that it tells.
func (l *LogReader) fill(r *record) error {
	ev := &l.event
	if r.Step == nil || r.Layer == nil {
		return errors.New("no step or no layer")
	}
	if *r.Layer < 0 || *r.Layer >= l.header.Shape.Layers {
		return fmt.Errorf("layer %d, want 0 to %d", *r.Layer, l.header.Shape.Layers-1)
	}
	ev.Seq, ev.Step, ev.Layer = l.line-2, *r.Step, *r.Layer
	switch r.Phase {
	case Prefill.String():
		ev.Phase = Prefill
	case Decode.String():
		ev.Phase = Decode
	default:
		return fmt.Errorf("phase %q, want %q or %q", r.Phase, Prefill, Decode)
	}
	ev.Hits, ev.Misses, ev.Prefetches = ev.Hits[:0], ev.Misses[:0], ev.Prefetches[:0]
	for _, e := range r.Hits {
		if err := l.checkExpert(e); err != nil {
			return fmt.Errorf("hit: %w", err)
		}
		ev.Hits = append(ev.Hits, ExpertID(e))
	}
	for _, m := range r.Misses {
		up, err := l.upload(m, 3)
		if err != nil {
			return fmt.Errorf("miss %v: %w", m, err)
		}
		ev.Misses = append(ev.Misses, up)
	}
	for _, p := range r.Prefetches {
		up, err := l.upload(p, 4)
		if err != nil {
			return fmt.Errorf("prefetch %v: %w", p, err)
		}
		ev.Prefetches = append(ev.Prefetches, Prefetch{Upload: up, Before: int(p[3])})
	}
	return nil
}

func (l *LogReader) upload(v []int64, want int) (Upload, error) {
	if len(v) != want {
		return Upload{}, fmt.Errorf("%d numbers, want %d", len(v), want)
	}
	if err := l.checkExpert(v[0]); err != nil {
		return Upload{}, err
	}
	if v[1] < -1 || v[1] >= int64(l.header.Slots) {
		return Upload{}, fmt.Errorf("slot %d of %d", v[1], l.header.Slots)
	}
	up := Upload{Expert: ExpertID(v[0]), Slot: Slot(v[1]), Evicted: NoExpert}
	if v[2] != -1 {
		if err := l.checkExpert(v[2]); err != nil {
			return Upload{}, fmt.Errorf("evicted: %w", err)
		}
		up.Evicted = ExpertID(v[2])
	}
	return up, nil
}

func (l *LogReader) checkExpert(e int64) error {
	if e < 0 || e >= int64(l.header.Shape.Universe()) {
		return fmt.Errorf("expert %d, want 0 to %d", e, l.header.Shape.Universe()-1)
	}
	return nil
}

func (l *LogReader) wrap(err error) error {
	return fmt.Errorf("pager: event log: line %d: %w", l.line, err)
}

// Experts appends the event's group, hits and misses together, in ascending order.
func (ev *Event) Experts(dst []ExpertID) []ExpertID {
	start := len(dst)
	dst = append(dst, ev.Hits...)
	for _, m := range ev.Misses {
		dst = append(dst, m.Expert)
	}
	slices.Sort(dst[start:])
	return dst
}
