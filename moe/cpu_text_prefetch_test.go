package moe

import (
	"bytes"
	"testing"

	"ufm/moe/tiny"
	"ufm/pager"
	"ufm/sim"
)

// decodeTiny decodes the embedded model's own continuation of a token and returns its
// statistics and its event log.
func decodeTiny(t *testing.T, slots int, prefetch bool) (pager.Stats, *bytes.Buffer) {
	t.Helper()
	const tokens = 300
	m, err := OpenText(tiny.FS(), tiny.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var out bytes.Buffer
	log := pager.NewLog(&out, pager.LogHeader{Shape: m.Shape().Paging(), Policy: pager.DefaultPolicy,
		Slots: slots, Order: pager.ResidentFirst.String()})
	b := NewCPU(CPUOptions{Threads: 2}).(TextBackend)
	r, err := b.NewTextRunner(TextConfig{
		Run: RunConfig{Shape: m.Shape(), Mode: UFM, Slots: slots, MaxTokens: 16,
			Observe: log.Observe, Poison: true},
		Context: tokens, Prefetch: prefetch}, m)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	bank, err := b.NewBank(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer bank.Close()
	if err := r.Attach(t.Context(), bank); err != nil {
		t.Fatal(err)
	}
	batch := TextBatch{IDs: []int32{278, 271, 419, 562, 199, 935, 661, 355}}
	for r.Position() < tokens {
		if _, err := r.Forward(t.Context(), &batch); err != nil {
			t.Fatal(err)
		}
		next := int32(r.Position()*131) % int32(m.Config().Vocab)
		batch = TextBatch{Step: batch.Step + 1, Phase: pager.Decode, IDs: []int32{next}}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return r.Stats(), &out
}

// TestPrefetchCounts checks what a prefetch changes, that its counts add up, and that a
// replay of the log takes the same decisions.
func TestPrefetchCounts(t *testing.T) {
	slots := []int{1, 5, 26, 64, 128, 256}
	if raceDetector {
		slots = []int{1, 26}
	}
	for _, slots := range slots {
		without, log := decodeTiny(t, slots, false)
		if diff, err := sim.Check(log); err != nil || diff != nil {
			t.Errorf("%d slots: replay: %v, %v", slots, diff, err)
		}
		with, log := decodeTiny(t, slots, true)
		if diff, err := sim.Check(log); err != nil || diff != nil {
			t.Errorf("%d slots, prefetch: replay: %v, %v", slots, diff, err)
		}
		t.Logf("%d slots: %d hits of %d without; with prefetch %d hits (%d late), "+
			"%d prefetches, %d used, %d wasted, uploads %d for %d", slots, without.Hits, without.Accesses,
			with.Hits, with.LateHits, with.Prefetches, with.PrefetchUsed, with.PrefetchWasted,
			with.Uploads, without.Uploads)
		if with.Accesses != without.Accesses || without.Prefetches != 0 {
			t.Errorf("%d slots: accesses %d and %d, %d prefetches without", slots,
				with.Accesses, without.Accesses, without.Prefetches)
		}
		if with.Uploads != with.Misses+with.Prefetches ||
			with.PrefetchUsed+with.PrefetchWasted > with.Prefetches {
			t.Errorf("%d slots: counts do not add up: %+v", slots, with)
		}
		if slots >= 26 && slots < 256 && (with.Hits <= without.Hits || with.PrefetchUsed == 0) {
			t.Errorf("%d slots: %d hits with prefetch, %d without", slots, with.Hits, without.Hits)
		}
	}
}
