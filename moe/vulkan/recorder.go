//go:build cgo && linux

package vulkan

import (
	"errors"

	"ufm/vk"
)

// batch gathers what goes to one queue in one submit.
type batch struct {
	queue     *vk.Queue
	recorders []*recorder // those whose work it carries
	pending   []vk.Submission
	submits   int
}

// recorder hands out command buffers of one queue and one timeline, and puts them on the
// queue's batch, so that a group costs one submit a queue. Command buffers come back
// all at once, when the host knows that the device has finished them. Where uploads and
// computes share a queue they share the batch too, in the order of recording.
type recorder struct {
	device    *vk.Device
	batch     *batch
	timeline  *vk.Timeline
	stamps    *vk.Timestamps
	buffers   []*vk.Commands
	used      int
	spans     []timed
	last      uint64   // value that the newest recording signals
	submitted uint64   // likewise of what the queue has been given
	read      []uint64 // nanoseconds, scratch of times
}

// timed is what one command buffer did on the device between stamps 2i and 2i+1.
type timed struct {
	waits bool // for an upload: it works on experts that were missing
}

// maxSpans bounds the timed command buffers between two waits of the host; those beyond
// it run untimed, and the times of their step are unknown.
const maxSpans = 1024

func newRecorder(d *vk.Device, b *batch) (*recorder, error) {
	t, err := d.NewTimeline()
	if err != nil {
		return nil, err
	}
	s, err := d.NewTimestamps(2 * maxSpans)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	r := &recorder{
		device: d, batch: b, timeline: t, stamps: s, read: make([]uint64, 2*maxSpans),
	}
	b.recorders = append(b.recorders, r)
	return r, nil
}

// begin starts a command buffer whose time is measured; waits tells that it is for experts
// that were missing.
func (r *recorder) begin(waits bool) (*vk.Commands, error) {
	if r.used == len(r.buffers) {
		c, err := r.device.NewCommands(r.batch.queue)
		if err != nil {
			return nil, err
		}
		r.buffers = append(r.buffers, c)
	}
	c := r.buffers[r.used]
	r.used++
	c.Begin()
	r.spans = append(r.spans, timed{waits})
	if i := len(r.spans); i <= maxSpans {
		c.Timestamp(r.stamps, 2*i-2)
	}
	return c, nil
}

// end finishes the newest command buffer and puts it with its waits on the list; it
// signals value on the recorder's timeline.
func (r *recorder) end(c *vk.Commands, value uint64, wait ...vk.Point) error {
	if i := len(r.spans); i <= maxSpans {
		c.Timestamp(r.stamps, 2*i-1)
	}
	if err := c.End(); err != nil {
		return err
	}
	r.last = value
	r.batch.pending = append(r.batch.pending, vk.Submission{
		Commands: c, Wait: wait, Signal: []vk.Point{{Timeline: r.timeline, Value: value}},
	})
	return nil
}

// submit sends everything on the list in one call.
func (b *batch) submit() error {
	if len(b.pending) == 0 {
		return nil
	}
	err := b.queue.Submit(b.pending...)
	b.pending = b.pending[:0]
	b.submits++
	if err != nil {
		return err
	}
	for _, r := range b.recorders {
		r.submitted = r.last
	}
	return nil
}

// times returns start and end of each span since the last recycle, and false if there
// were too many. The device must have finished them.
func (r *recorder) times() ([]uint64, bool, error) {
	if len(r.spans) == 0 || len(r.spans) > maxSpans {
		return nil, len(r.spans) == 0, nil
	}
	t := r.read[:2*len(r.spans)]
	return t, true, r.stamps.Read(0, t)
}

// recycle takes all command buffers back.
func (r *recorder) recycle() {
	if len(r.spans) > 0 {
		r.stamps.Reset()
	}
	r.used = 0
	r.spans = r.spans[:0]
}

// Close frees everything; the queue must be idle.
func (r *recorder) Close() error {
	var errs []error
	for _, c := range r.buffers {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, r.stamps.Close(), r.timeline.Close())...)
}
