//go:build cgo && linux

package vulkan

import (
	"runtime"
	"testing"

	"ufm/moe"
	"ufm/pager"
)

// TestTextMemoryStaysFlat decodes tokens, a sequence after the other, and compares heap, device
// memory and command buffers with those after the first: with prefetching, and where each token
// follows the one before on the device.
func TestTextMemoryStaysFlat(t *testing.T) {
	const context = 32
	t.Run("prefetched", func(t *testing.T) {
		be, m, bank := tinyText(t)
		vocab := int32(m.Config().Vocab)
		r := newText(t, be, m, bank, moe.TextConfig{
			Run:     moe.RunConfig{Mode: moe.UFM, Slots: m.Shape().Paging().Universe() / 4, MaxTokens: 1},
			Context: context, Prefetch: true,
		}).(*textRunner)
		logits := make([]float32, vocab)
		staysFlat(t, r, 300, func(i int) error {
			_, err := r.Forward(t.Context(), &moe.TextBatch{
				Step: i, Phase: pager.Decode, IDs: []int32{7 * int32(i) % vocab}, Logits: logits,
			})
			return err
		})
	})
	t.Run("followed", func(t *testing.T) {
		skipSlow(t)
		be, m, bank := tinyText(t)
		be.together = together(be)
		r := newText(t, be, m, bank, moe.TextConfig{
			Run: moe.RunConfig{Mode: moe.Baseline, MaxTokens: 1}, Context: context,
		}).(*textRunner)
		var id int32
		staysFlat(t, r, 120, func(i int) error {
			b := &moe.TextBatch{Step: i, Phase: pager.Decode, IDs: []int32{id}}
			next := &moe.TextBatch{Step: i + 1, Phase: pager.Decode, IDs: []int32{0}}
			if r.Position()+1 == context {
				next = nil
			}
			if i%10 == 3 {
				b.IDs[0] = int32(i) // what was begun is in vain
			}
			var err error
			id, _, err = r.Follow(t.Context(), b, next)
			return err
		})
	})
}

func staysFlat(t *testing.T, r *textRunner, tokens int, decode func(i int) error) {
	t.Helper()
	taken := func() (heap uint64, device int64, commands int) {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&stats)
		commands = len(r.compute.ring)
		for _, q := range r.transfers {
			commands += len(q.ring)
		}
		return stats.HeapAlloc, r.DeviceBytes(), commands
	}
	var heap uint64
	var device int64
	var commands int
	for i := range tokens {
		if r.Position() == r.text.cfg.Context {
			r.Reset()
		}
		if err := decode(i); err != nil {
			t.Fatal(err)
		}
		if i == tokens/4 {
			heap, device, commands = taken()
		}
	}
	lateHeap, lateDevice, lateCommands := taken()
	if lateHeap > heap+64<<10 || lateDevice != device || lateCommands > commands+4 {
		t.Errorf("after %d tokens %d bytes of heap, %d of the device, %d command buffers; after %d: %d, %d, %d",
			tokens/4, heap, device, commands, tokens, lateHeap, lateDevice, lateCommands)
	}
}
