//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"math"
	"time"

	"ufm/moe"
	"ufm/vk"
)

// Where all experts are resident, all that a token needs of the host is to know which it is. If it
// is the likeliest after the one before, the device finds that itself, and begins with it before
// the host has seen it. So the host's part of a token costs no time of the device's:
//
//	device   token 5 ───────────┐ token 6 ───────────┐ token 7 ──── …
//	host      submits 6, waits  └ tells, submits 7,  └ tells, …
//
// A token reads its id from where the one before has left it, in the sequence's ids. What two
// tokens leave for the host stands in two sets, in turns.

const (
	tokenSets  = 2
	tokenLists = 1 + tokenSets // of ops, see addOps

	likeliestGroups  = 64
	likeliestThreads = 256
	peaksBytes       = 4 + 12*likeliestGroups
)

// begun is a token on its way whose turn, for the caller, has not come.
type begun struct {
	batch    *moe.TextBatch // nil: there is none
	id       int32
	position int
	value    uint64    // that the compute timeline has at its end
	since    time.Time // the one before was told
}

var _ moe.TextFollower = (*textRunner)(nil)

// Follow appends a token and returns the likeliest one after it; see moe.TextFollower.
func (t *textRunner) Follow(
	ctx context.Context, b, next *moe.TextBatch,
) (int32, moe.StepTimes, error) {
	err := t.check(b)
	if err == nil && next != nil {
		err = next.Validate(t.text.cfg, t.text.sizes.Config, t.text.position+1)
	}
	switch {
	case err != nil:
		return 0, moe.StepTimes{}, err
	case ctx.Err() != nil:
		return 0, moe.StepTimes{}, ctx.Err()
	case !t.text.follows(b):
		return 0, moe.StepTimes{}, errors.ErrUnsupported
	}
	id, err := t.text.follow(b, next)
	if err != nil {
		t.failed = err
		return 0, moe.StepTimes{}, err
	}
	return id, t.times, nil
}

// follows reports whether b can be followed.
func (x *text) follows(b *moe.TextBatch) bool {
	return x.token.pipeline != nil && x.resident() && len(b.IDs) == 1 &&
		b.Logits == nil && b.Experts == nil && b.Weights == nil && b.Predicted == nil
}

// follow runs b, unless that has begun, begins with next, and returns the likeliest token.
func (x *text) follow(b, next *moe.TextBatch) (int32, error) {
	if n := x.next; n.batch != b || n.id != b.IDs[0] || n.position != x.position {
		if err := x.forget(); err != nil {
			return 0, err
		}
	}
	own := x.next
	x.next = begun{}
	if own.batch == nil {
		own.since = time.Now()
	}
	x.startTimes()
	submits, waits := x.submits(), x.waits
	x.batch, x.one, x.ahead, x.predict, x.onward = b, true, false, false, false
	ids := x.dense.ids.Words()
	var err error
	if own.batch == nil {
		ids[x.position] = uint32(b.IDs[0])
		if own.value, err = x.recordFollowed(b, x.position); err != nil {
			return 0, err
		}
	}
	if next != nil {
		x.next.batch = next
		if x.next.value, err = x.recordFollowed(next, x.position+1); err != nil {
			return 0, err
		}
	}
	if err := x.finish(context.Background(), own.value); err != nil {
		return 0, err
	}
	if err := x.checkToken(); err != nil {
		return 0, err
	}
	x.set = x.position % tokenSets
	if err := x.requestAll(&moe.Batch{Step: b.Step, Tokens: 1, Phase: b.Phase}); err != nil {
		return 0, err
	}
	x.position++
	x.batch = nil
	id := int32(ids[x.position])
	if id < 0 {
		id = -1 - (id &^ math.MinInt32) // likeliest.comp's ODD
	}
	x.next.id, x.next.position, x.next.since = id, x.position, time.Now()
	x.times.Wall = x.next.since.Sub(own.since)
	x.times.Submits, x.times.Waits = x.submits()-submits, x.waits-waits
	return id, nil
}

// recordFollowed records a token at a position, from its id on to the next one's, and returns the
// value that tells its end.
func (x *text) recordFollowed(b *moe.TextBatch, position int) (uint64, error) {
	c, err := x.compute.begin(false)
	if err != nil {
		return 0, err
	}
	m, s := x.dense, &x.sizes
	set := position % tokenSets
	copy(x.runner.memory.routing.Words()[x.choiceAt(set, 0):], b.Routing)
	x.planned = true
	push := x.push(&moe.Batch{Routing: b.Routing})
	x.planned = false
	push.Position = uint32(position)
	_, each := x.headOps()
	x.runner.token.record(c, (1+set)*each, (2+set)*each, push)
	c.DispatchBarrier()
	c.Dispatch(x.kernels.likeliest, pushBytes(pushLikeliest{
		Logits: m.ownLogits.Address(), Peaks: m.peaks.Address(),
		Dst: m.ids.Address() + uint64(4*(position+1)), Vocab: uint32(s.Vocab),
	}), likeliestGroups, 1, 1)
	c.Barrier()
	var after []vk.Point
	if !x.settled {
		after, x.settled = x.uploadsSoFar(), true
	}
	value := x.schedule.next()
	return value, x.compute.end(c, value, after...)
}

// forget waits for a token that was begun and that nobody asks for: the host may write again what
// that reads. Where it has left keys and values, another token will.
func (x *text) forget() error {
	b := x.next
	x.next = begun{}
	if b.batch == nil {
		return nil
	}
	return x.finish(context.Background(), b.value)
}
