package pager

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// LogVersion is the version of event logs that this package writes and reads.
const LogVersion = 1

// LogHeader is the first line of an event log: all that a replay needs to know.
type LogHeader struct {
	Version int    `json:"version"` // NewLog fills it in
	Shape   Shape  `json:"shape"`
	Policy  string `json:"policy"` // with its parameters
	Slots   int    `json:"slots"`
	Order   string `json:"order"`
	Seed    uint64 `json:"seed"`
}

// Header describes p for an event log; seed is that of the run.
func (p *Pager) Header(seed uint64) LogHeader {
	return LogHeader{
		Version: LogVersion, Shape: p.shape, Policy: p.policy.Name(),
		Slots: len(p.held), Order: p.order.String(), Seed: seed,
	}
}

// Log writes events as JSON Lines: the header, then a line a group such as
//
//	{"step":0,"layer":1,"phase":"decode","hits":[64],"misses":[[91,5,12]],"prefetches":[[70,6,-1,1]]}
//
// A miss is [expert, slot, evicted expert or -1], a prefetch the same and the number
// of the first group that it can serve. A line without prefetches leaves them out. The
// same events give the same bytes.
type Log struct {
	w    *bufio.Writer
	line []byte
	err  error // the first one
}

// NewLog starts a log with its header. Errors wait for Close.
func NewLog(w io.Writer, header LogHeader) *Log {
	l := &Log{w: bufio.NewWriterSize(w, 1<<16)}
	header.Version = LogVersion
	l.line, l.err = json.Marshal(header)
	l.write()
	return l
}

// Observe writes one event. It is made to be a pager's Options.Observe.
func (l *Log) Observe(ev *Event) {
	b := append(l.line[:0], `{"step":`...)
	b = strconv.AppendInt(b, int64(ev.Step), 10)
	b = append(b, `,"layer":`...)
	b = strconv.AppendInt(b, int64(ev.Layer), 10)
	b = append(b, `,"phase":"`...)
	b = append(b, ev.Phase.String()...)
	b = append(b, `","hits":[`...)
	for i, e := range ev.Hits {
		b = appendComma(b, i)
		b = strconv.AppendUint(b, uint64(e), 10)
	}
	b = append(b, `],"misses":[`...)
	for i, m := range ev.Misses {
		b = appendComma(b, i)
		b = append(appendUpload(b, m), ']')
	}
	b = append(b, ']')
	if len(ev.Prefetches) > 0 {
		b = append(b, `,"prefetches":[`...)
		for i, p := range ev.Prefetches {
			b = appendComma(b, i)
			b = append(appendUpload(b, p.Upload), ',')
			b = append(strconv.AppendInt(b, int64(p.Before), 10), ']')
		}
		b = append(b, ']')
	}
	l.line = append(b, '}')
	l.write()
}

// Close writes what is still buffered and returns the first error of all writes. It
// does not close the writer below.
func (l *Log) Close() error {
	if l.err == nil {
		l.err = l.w.Flush()
	}
	if l.err != nil {
		return fmt.Errorf("pager: event log: %w", l.err)
	}
	return nil
}

func (l *Log) write() {
	if l.err == nil {
		l.line = append(l.line, '\n')
		_, l.err = l.w.Write(l.line)
	}
}

func appendComma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

// appendUpload leaves the bracket open.
func appendUpload(b []byte, u Upload) []byte {
	b = append(b, '[')
	b = strconv.AppendUint(b, uint64(u.Expert), 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(u.Slot), 10)
	if u.Evicted == NoExpert {
		return append(b, ",-1"...)
	}
	b = append(b, ',')
	return strconv.AppendUint(b, uint64(u.Evicted), 10)
}
