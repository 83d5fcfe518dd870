//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"

	"ufm/moe"
	"ufm/vk"
)

// A resident token is some four hundred dispatches, which the host takes a good part of a
// millisecond to record. Nothing in them depends on the token, which the device reads from
// a buffer: so while it works on one, the host records the next.
type ahead struct {
	device   *vk.Device
	commands [2]*vk.Commands // under way or last, and next
	stamps   [2]*vk.Timestamps
	next     int
	ready    bool      // commands[next] are recorded
	token    tokenKind // what for
}

// tokenKind is all that the commands for a token depend on.
type tokenKind struct {
	position                int
	logits, routed, predict bool
	experts, weights        bool
}

func newAhead(d *vk.Device, q *vk.Queue) (*ahead, error) {
	a := &ahead{device: d}
	for i := range a.commands {
		var err error
		if a.commands[i], err = d.NewCommands(q); err != nil {
			return nil, errors.Join(err, a.Close())
		}
		if a.stamps[i], err = d.NewTimestamps(2); err != nil {
			return nil, errors.Join(err, a.Close())
		}
	}
	return a, nil
}

// Close frees the commands; the device must have finished them.
func (a *ahead) Close() error {
	var errs []error
	for i, c := range a.commands {
		if c != nil {
			errs = append(errs, c.Close())
		}
		if a.stamps[i] != nil {
			errs = append(errs, a.stamps[i].Close())
		}
	}
	return errors.Join(errs...)
}

// kind is the kind of the batch under way, a single token, at a position.
func (x *text) kind(position int) tokenKind {
	b := x.batch
	return tokenKind{
		position: position, logits: len(b.Logits) > 0, routed: b.Routing != nil, predict: x.predict,
		experts: b.Experts != nil, weights: b.Weights != nil,
	}
}

// recordToken records the whole of a token that is like step, at a position.
func (x *text) recordToken(step *moe.Batch, position int) error {
	a, now := x.recorded, x.position
	a.ready = false
	c, stamps := a.commands[a.next], a.stamps[a.next]
	x.position = position
	c.Begin()
	c.Timestamp(stamps, 0)
	x.recordResident(c, step)
	c.Timestamp(stamps, 1)
	x.position = now
	if err := c.End(); err != nil {
		return err
	}
	a.ready, a.token = true, x.kind(position)
	return nil
}

// forwardToken runs a token whose experts are resident, and settled, and records the next.
func (x *text) forwardToken(ctx context.Context, step *moe.Batch) error {
	a := x.recorded
	if !a.ready || a.token != x.kind(x.position) {
		if err := x.recordToken(step, x.position); err != nil {
			return err
		}
	}
	now, value := a.next, x.schedule.next()
	a.next, a.ready = 1-now, false
	x.compute.last = value
	x.compute.batch.pending = append(x.compute.batch.pending, vk.Submission{
		Commands: a.commands[now], Signal: []vk.Point{{Timeline: x.compute.timeline, Value: value}},
	})
	if err := x.submitAll(); err != nil {
		return err
	}
	if x.position+1 < x.sizes.context {
		if err := x.recordToken(step, x.position+1); err != nil {
			return err
		}
	}
	x.waits++
	if err := x.compute.timeline.Wait(ctx, value); err != nil {
		return err
	}
	var times [2]uint64
	if err := a.stamps[now].Read(0, times[:]); err != nil {
		return err
	}
	a.stamps[now].Reset()
	x.times.Compute += nanoseconds(times[1] - times[0])
	return x.requestAll(step)
}
