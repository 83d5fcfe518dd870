//go:build cgo && linux

package vulkan

import (
	"runtime"
	"testing"

	"ufm/moe"
	"ufm/moe/tiny"
	"ufm/pager"
)

// TestTextMemoryStaysFlat decodes tokens with prefetching, a sequence after the other, and compares
// heap, device memory and command buffers with those after the first.
func TestTextMemoryStaysFlat(t *testing.T) {
	be := open(t, Options{})
	m, err := moe.OpenText(tiny.FS(), tiny.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const context, tokens = 32, 400
	r := newText(t, be, m, newTextBank(t, be, m), moe.TextConfig{
		Run:     moe.RunConfig{Mode: moe.UFM, Slots: m.Shape().Paging().Universe() / 4, MaxTokens: 1},
		Context: context, Prefetch: true,
	}).(*textRunner)
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
	logits := make([]float32, m.Config().Vocab)
	var heap uint64
	var device int64
	var commands int
	for i := range tokens {
		if r.Position() == context {
			r.Reset()
		}
		b := moe.TextBatch{
			Step: i, Phase: pager.Decode, IDs: []int32{int32(7 * i % len(logits))}, Logits: logits,
		}
		if _, err := r.Forward(t.Context(), &b); err != nil {
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
