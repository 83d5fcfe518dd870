// Package pager decides which experts of a routed model stay in a pool of slots.
//
// A model's layers are asked for in turn. For each layer the caller knows, once its
// router has run, the group of experts that its tokens need; it hands the group to
// the pager and gets back a plan: which experts are resident and where, which are
// uploaded into which slot, and what that slot held before.
//
//	p, err := pager.New(pager.Options{Shape: shape, Slots: 64, Uploader: device})
//	for each step, for each layer {
//		plan, err := p.Request(pager.Group{Step: step, Layer: layer, Experts: experts})
//		for _, a := range plan.Accesses { compute(a.Expert, a.Slot) }
//	}
//
// The pager never copies anything: an Uploader does, and a fake one makes it a
// simulator that takes the same decisions. These depend on the requests alone, never
// on time: the same requests, policy, slots and order give the same event log, byte
// for byte. All counts are of experts; the pager knows no bytes.
//
// One goroutine may use a Pager; only Stats may be called from others.
//
// The rules of groups, victims and prefetches are told in docs/conventions.md.
package pager
