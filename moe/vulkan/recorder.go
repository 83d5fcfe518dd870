//go:build cgo && linux

package vulkan

import (
	"errors"
	"slices"

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
// queue's batch, so that a group costs one submit a queue. Where uploads and computes share a
// queue they share the batch too, in the order of recording.
//
// The command buffers stand in a ring. While the device works the host begins as many as the
// last group took, which takes 6 to 8 of some 20 µs of recording on an H100's host.
//
//	first             +done            +used            +ready
//	  ├─ finished ───────┼─ submitted ────┼─ begun ────────┼─ unused ─┐
//	  └────────────────────────────────────────────────────────────────┘
type recorder struct {
	device    *vk.Device
	batch     *batch
	timeline  *vk.Timeline
	stamps    *vk.Timestamps
	ring      []recording
	first     int
	done      int      // the device has finished them
	used      int      // recorded, with those
	ready     int      // begun beyond them
	last      uint64   // value that the newest recording signals
	submitted uint64   // likewise of what the queue has been given
	read      []uint64 // nanoseconds, scratch of times
}

// recording is one command buffer and what it was last used for.
type recording struct {
	commands *vk.Commands
	stamp    int    // of its two timestamps, the first
	waits    bool   // it works on experts that were missing
	value    uint64 // that it signals
}

// maxTimed bounds the command buffers that are timed; the others of a recorder that needs more at
// once run untimed, and are dropped once they have: the times of that step are unknown.
const maxTimed = 2048

func newRecorder(d *vk.Device, b *batch) (*recorder, error) {
	t, err := d.NewTimeline()
	if err != nil {
		return nil, err
	}
	s, err := d.NewTimestamps(2 * maxTimed)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	r := &recorder{
		device: d, batch: b, timeline: t, stamps: s, read: make([]uint64, 2*maxTimed),
	}
	b.recorders = append(b.recorders, r)
	return r, nil
}

// at is recording i, counted from the first.
func (r *recorder) at(i int) *recording { return &r.ring[(r.first+i)%len(r.ring)] }

func (e *recording) timed() bool { return e.stamp < 2*maxTimed }

// begin starts a command buffer whose time is measured; waits tells that it is for experts
// that were missing.
func (r *recorder) begin(waits bool) (*vk.Commands, error) {
	if r.ready == 0 {
		if err := r.prepare(1); err != nil {
			return nil, err
		}
	}
	e := r.at(r.used)
	r.used++
	r.ready--
	e.waits = waits
	return e.commands, nil
}

// prepare begins command buffers until n are ready.
func (r *recorder) prepare(n int) error {
	for r.ready < n {
		if r.used+r.ready == len(r.ring) {
			c, err := r.device.NewCommands(r.batch.queue)
			if err != nil {
				return err
			}
			r.rotate()
			r.ring = append(r.ring, recording{commands: c, stamp: 2 * len(r.ring)})
		}
		e := r.at(r.used + r.ready)
		e.commands.Begin()
		if e.timed() {
			e.commands.Timestamp(r.stamps, e.stamp)
		}
		r.ready++
	}
	return nil
}

// end finishes the newest command buffer and puts it with its waits on the list; it
// signals value on the recorder's timeline.
func (r *recorder) end(c *vk.Commands, value uint64, wait ...vk.Point) error {
	e := r.at(r.used - 1)
	if e.timed() {
		c.Timestamp(r.stamps, e.stamp+1)
	}
	if err := c.End(); err != nil {
		return err
	}
	e.value, r.last = value, value
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

// finished tells that the timeline has reached a value.
func (r *recorder) finished(value uint64) {
	for r.done < r.used && r.at(r.done).value <= value {
		r.done++
	}
}

// times returns start and end of what the device has finished, and false if not all of it was
// timed.
func (r *recorder) times() ([]uint64, bool, error) {
	for i := range r.done {
		if !r.at(i).timed() {
			return nil, false, nil
		}
	}
	t := r.read[:2*r.done]
	for i, n := range r.runs {
		if err := r.stamps.Read(r.at(i).stamp, t[2*i:2*(i+n)]); err != nil {
			return nil, false, err
		}
	}
	return t, true, nil
}

// rotate makes the first the first of the slice, too.
func (r *recorder) rotate() {
	r.ring = slices.Concat(r.ring[r.first:], r.ring[:r.first])
	r.first = 0
}

// recycle takes the command buffers back that the device has finished.
func (r *recorder) recycle() error {
	for i, n := range r.runs {
		if e := r.at(i); e.timed() {
			r.stamps.Reset(e.stamp, min(2*n, 2*maxTimed-e.stamp))
		}
	}
	n := r.done
	r.used, r.done = r.used-n, 0
	if len(r.ring) > maxTimed {
		return r.dropUntimed(n)
	}
	if n > 0 {
		r.first = (r.first + n) % len(r.ring)
	}
	return nil
}

// dropUntimed closes the first n that are not timed, and leaves the others of them at the end.
func (r *recorder) dropUntimed(n int) (err error) {
	r.rotate()
	finished := r.ring[:n]
	r.ring = slices.Clone(r.ring[n:])
	for _, e := range finished {
		if e.timed() {
			r.ring = append(r.ring, e)
		} else {
			err = errors.Join(err, e.commands.Close())
		}
	}
	return err
}

// runs yields each n of those that are finished, from the ith on, whose timestamps follow each
// other.
func (r *recorder) runs(yield func(i, n int) bool) {
	for i, n := 0, 0; i < r.done; i += n {
		n = 1
		for i+n < r.done && r.at(i+n).stamp == r.at(i).stamp+2*n {
			n++
		}
		if !yield(i, n) {
			return
		}
	}
}

// Close frees everything; the queue must be idle.
func (r *recorder) Close() error {
	var errs []error
	for _, e := range r.ring {
		errs = append(errs, e.commands.Close())
	}
	return errors.Join(append(errs, r.stamps.Close(), r.timeline.Close())...)
}
