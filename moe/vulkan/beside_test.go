//go:build cgo && linux

package vulkan

import (
	"testing"
	"time"

	"ufm/moe"
)

// TestUploadsBesideComputes records uploads in goroutines of their own on any device: with a
// batch for each, as if there were queues for copies. On a device with one queue they must wait
// for nothing that is submitted later: so there is a slot for every expert, and as with staging
// buffers no upload waits for half of another.
func TestUploadsBesideComputes(t *testing.T) {
	b := open(t, Options{Bank: Allocated}) // a staged one is recorded one queue after the other
	shape := moe.Shape{Layers: 2, Experts: 40, DModel: 32, DHidden: 48, TopK: 2}
	g := newRig(t, b, shape, 80)
	for i := range 2 * 80 * 2 {
		g.routing = append(g.routing, uint32(i%40)) // so that all are missing
	}
	want := g.run(t, moe.RunConfig{Mode: moe.Baseline}, 1)

	made, err := b.NewRunner(moe.RunConfig{
		Shape: shape, MaxTokens: g.tokens, Mode: moe.UFM, Slots: shape.Paging().Universe(),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := made.(*runner)
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := r.Attach(t.Context(), g.bank); err != nil {
		t.Fatal(err)
	}
	r.apartQueues(t)
	const bundle = 4 // of 40 experts
	s := r.schedule
	s.expertBytes, s.stageBytes = 2*chunkBytes/bundle, 1<<40

	step := &moe.Batch{
		Tokens: g.tokens, Input: g.input, Routing: g.routing, Capture: newCapture(shape, g.tokens),
	}
	times, err := r.Step(t.Context(), step)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "uploads beside computes", step, want)
	if got, want := r.Moved(), shape.BankBytes(); got < want {
		t.Errorf("moved %d bytes, want at least %d: nothing was uploaded", got, want)
	}
	// The first router; then for each layer computes and two queues' uploads.
	if want := 1 + 2*(1+maxTransfers); times.Submits != want {
		t.Errorf("submits: got %d, want %d", times.Submits, want)
	}
}

// apartQueues gives uploads a batch for each of two queues, whatever the device has.
func (r *runner) apartQueues(t *testing.T) {
	t.Helper()
	queues := r.device.Transfers()
	r.transfers, r.batches = nil, r.batches[:1]
	for i := range maxTransfers {
		batch := &batch{queue: queues[i%len(queues)]}
		r.batches = append(r.batches, batch)
		transfer, err := newRecorder(r.device, batch)
		if err != nil {
			t.Fatal(err)
		}
		r.own(transfer)
		r.transfers = append(r.transfers, transfer)
	}
	r.schedule.queues = maxTransfers
	clear(r.schedule.written) // by timelines that are no more
}

// TestHostTimerStages: a bank that needs staging is measured as it is used, one queue after the
// other.
func TestHostTimerStages(t *testing.T) {
	h := openHostTimer(t, Options{Bank: Staged})
	h.apartQueues(t)
	if h.uploadsBeside() {
		t.Fatal("uploads from a staged bank are recorded beside each other")
	}
	if _, err := h.misses(t.Context(), 8, 1); err != nil {
		t.Fatal(err)
	}
}

// TestRelease: what was recorded but never submitted is let go, so that closing need not wait.
func TestRelease(t *testing.T) {
	h := openHostTimer(t, Options{})
	ops := h.schedule.group(h.plan(8, 1))
	if err := h.recordComputes(ops, &h.batch, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.release(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := h.drain(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > closeWait/2 {
		t.Errorf("the device took %v to end", took)
	}
	for _, c := range []struct {
		t    *recorder
		want uint64
	}{{h.compute, h.schedule.compute}, {h.transfers[0], h.schedule.transfer}} {
		if got, err := c.t.timeline.Value(); err != nil || got < c.want {
			t.Errorf("a timeline stands at %d, %v, want %d", got, err, c.want)
		}
	}
}
