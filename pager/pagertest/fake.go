// Package pagertest tests policies and users of package pager: a suite that every
// policy must pass, and an uploader that copies nothing but checks what it is asked.
//
//	func TestMine(t *testing.T) {
//		pagertest.TestPolicy(t, func(s pager.Shape, slots int) pager.Policy {
//			return newMine(s, slots)
//		})
//	}
package pagertest

import (
	"fmt"

	"ufm/pager"
)

// Fake is an uploader that copies nothing. It remembers what each slot holds and
// refuses an upload that does not fit to that.
type Fake struct {
	Err     error // returned by Upload, if set
	Pending bool  // uploads never finish: every hit on a prefetched expert is late

	shape   pager.Shape
	held    []pager.ExpertID
	slotOf  map[pager.ExpertID]pager.Slot
	Uploads int // so far, prefetches included
	Batches int // calls of Upload
}

// NewFake makes the uploader for a pool of free slots.
func NewFake(shape pager.Shape, slots int) *Fake {
	f := &Fake{
		shape:  shape,
		held:   make([]pager.ExpertID, min(slots, shape.Universe())),
		slotOf: map[pager.ExpertID]pager.Slot{},
	}
	for s := range f.held {
		f.held[s] = pager.NoExpert
	}
	return f
}

// Upload checks the batch and notes its outcome.
func (f *Fake) Upload(batch []pager.Upload, _ bool) error {
	f.Batches++
	if f.Err != nil {
		return f.Err
	}
	if len(batch) == 0 {
		return fmt.Errorf("pagertest: batch %d is empty", f.Batches)
	}
	for i, u := range batch {
		if err := f.place(u); err != nil {
			return fmt.Errorf("pagertest: upload %d of batch %d: %w", i, f.Batches, err)
		}
	}
	return nil
}

func (f *Fake) place(u pager.Upload) error {
	if int(u.Expert) >= f.shape.Universe() {
		return fmt.Errorf("expert %d of %d", u.Expert, f.shape.Universe())
	}
	if u.Slot < 0 || int(u.Slot) >= len(f.held) {
		return fmt.Errorf("slot %d of %d", u.Slot, len(f.held))
	}
	if at, resident := f.slotOf[u.Expert]; resident {
		return fmt.Errorf("expert %d goes to slot %d, it is in slot %d", u.Expert, u.Slot, at)
	}
	if held := f.held[u.Slot]; held != u.Evicted {
		return fmt.Errorf("slot %d holds expert %d, the upload says %d",
			u.Slot, int32(held), int32(u.Evicted))
	}
	delete(f.slotOf, u.Evicted)
	f.held[u.Slot], f.slotOf[u.Expert] = u.Expert, u.Slot
	f.Uploads++
	return nil
}

// Uploaded makes Fake a pager.Progress.
func (f *Fake) Uploaded(pager.Slot) bool { return !f.Pending }

// Held is what slot s holds, or pager.NoExpert.
func (f *Fake) Held(s pager.Slot) pager.ExpertID { return f.held[s] }
