//go:build cgo && linux

package vulkan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ufm/moe"
	"ufm/pager"
)

// holding is a backend whose banks are in blocks of two experts, of each bytes, and staged
// through buffers that cut experts anywhere.
func holding(t testing.TB, o Options, each int64) *backend {
	b := open(t, o)
	if o.Bank != Best {
		b.hold = o.Bank // whatever UFM_BANK says
	}
	b.blockBytes, b.stageBytes = 2*each, 4*(each/5)
	return b
}

// TestSameBitsHowever holds a bank in every way and in several at once: neither an output
// nor a decision of the pager may differ.
func TestSameBitsHowever(t *testing.T) {
	skipSlow(t)
	shape := moe.Shape{Layers: 3, Experts: 6, DModel: 40, DHidden: 56, TopK: 3, Form: moe.SwiGLU, DType: moe.BF16}
	const tokens, steps = 5, 4
	each := shape.ExpertBytes()
	configs := []moe.RunConfig{
		{Mode: moe.Baseline}, {Mode: moe.Naive}, {Mode: moe.Published, Slots: 4},
		{Mode: moe.UFM, Slots: 1}, {Mode: moe.UFM, Slots: 4}, {Mode: moe.UFM, Slots: 17},
		{Mode: moe.UFM, Slots: 18},
	}
	run := func(t *testing.T, o Options) (outputs []*moe.Batch, events []string, held [Staged + 1]int64) {
		b := holding(t, o, each)
		g := newRig(t, b, shape, tokens)
		for _, cfg := range configs {
			var log bytes.Buffer
			cfg.Poison = true
			cfg.Observe = func(e *pager.Event) {
				if err := json.NewEncoder(&log).Encode(e); err != nil {
					t.Error(err)
				}
			}
			outputs, events = append(outputs, g.run(t, cfg, steps)), append(events, log.String())
		}
		k := g.bank.(*bank)
		if want := shape.BankBytes() + k.ring.size(); k.HostBytes() != want {
			t.Errorf("got %d bytes on the host, want %d", k.HostBytes(), want)
		}
		return outputs, events, k.Held()
	}
	want, wantEvents, _ := run(t, Options{})
	bank := shape.BankBytes()
	for _, c := range []struct {
		o    Options
		held [Staged + 1]int64
	}{
		{Options{Bank: Allocated}, [...]int64{0, bank, 0, 0}},
		{Options{Bank: Imported}, [...]int64{0, 0, bank, 0}},
		{Options{Bank: Staged}, [...]int64{0, 0, 0, bank}},
		{Options{Bank: Allocated, PinLimit: 7 * each}, [...]int64{0, 6 * each, 0, bank - 6*each}},
		{Options{Bank: Imported, PinLimit: 9 * each}, [...]int64{0, 0, 8 * each, bank - 8*each}},
	} {
		for _, c.o.SingleQueue = range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/limit=%d/single=%v", c.o.Bank, c.o.PinLimit/each, c.o.SingleQueue), func(t *testing.T) {
				got, events, held := run(t, c.o)
				if held != c.held {
					t.Errorf("held: got %v, want %v", held, c.held)
				}
				for i, cfg := range configs {
					same(t, fmt.Sprintf("%s, %d slots", cfg.Mode, cfg.Slots), got[i], want[i])
					if diff := cmp.Diff(wantEvents[i], events[i]); diff != "" {
						t.Errorf("%s, %d slots: events (-want +got):\n%s", cfg.Mode, cfg.Slots, diff)
					}
				}
			})
		}
	}
}

// TestDescribe tells how a bank is held, and why not better.
func TestDescribe(t *testing.T) {
	shape := moe.Shape{Layers: 1, Experts: 4, DModel: 8, DHidden: 8, TopK: 1}
	b := holding(t, Options{Bank: Allocated, PinLimit: 2 * shape.ExpertBytes()}, shape.ExpertBytes())
	k := newRig(t, b, shape, 1).bank.(*bank)
	if got, want := k.Describe(), "1.0 KiB allocated, 1.0 KiB staged (the limit is 1.0 KiB)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestBankBytes: whatever holds it, each expert lies where it belongs, and padding is zero.
func TestBankBytes(t *testing.T) {
	for _, shape := range []moe.Shape{
		{Layers: 2, Experts: 3, DModel: 16, DHidden: 24, TopK: 1, DType: moe.F16}, // full
		{Layers: 2, Experts: 3, DModel: 13, DHidden: 7, TopK: 1},
	} {
		for hold := Allocated; hold <= Staged; hold++ {
			k := newRig(t, holding(t, Options{Bank: hold}, shape.ExpertBytes()), shape, 1).bank.(*bank)
			for e := range pager.ExpertID(6) {
				want := make([]byte, shape.ExpertBytes())
				if err := k.model.FillExpert(e, want); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(k.bytes(e), want) {
					t.Errorf("%s, %d x %d: expert %d differs", hold, shape.DModel, shape.DHidden, e)
				}
			}
		}
	}
}

// unreadable is a model of which one expert cannot be had.
type unreadable struct{ moe.Model }

var errUnreadable = errors.New("cannot be read")

func (m unreadable) FillExpert(e pager.ExpertID, dst []byte) error {
	if e == 3 {
		return errUnreadable
	}
	return m.Model.FillExpert(e, dst)
}

// TestBankFails: what was taken until then is given back, which the device checks.
func TestBankFails(t *testing.T) {
	shape := moe.Shape{Layers: 1, Experts: 8, DModel: 8, DHidden: 8, TopK: 1}
	m, err := moe.NewSynthetic(shape, 1)
	if err != nil {
		t.Fatal(err)
	}
	for hold := Allocated; hold <= Staged; hold++ {
		b := holding(t, Options{Bank: hold}, shape.ExpertBytes())
		if _, err := b.NewBank(t.Context(), unreadable{m}, nil); !errors.Is(err, errUnreadable) {
			t.Errorf("%s: got %v", hold, err)
		}
	}
}

// TestCut compares with copying byte by byte.
func TestCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		each, count := 1+rng.IntN(9), 1+rng.IntN(5)
		all := make([]byte, each*count)
		for i := range all {
			all[i] = byte(i)
		}
		first := rng.IntN(len(all))
		last := first + 1 + rng.IntN(len(all)-first)
		got := make([]byte, last-first)
		cut(int64(each), int64(first), int64(last), func(i int, at, n, to int64) {
			copy(got[to:to+n], all[i*each:][:each][at:])
		})
		if !slices.Equal(got, all[first:last]) {
			t.Fatalf("%d to %d of %d × %d: got %v", first, last, count, each, got)
		}
	}
}

func TestParseHold(t *testing.T) {
	for name, want := range map[string]Hold{"": Best, "best": Best, "allocated": Allocated, "imported": Imported, "staged": Staged} {
		if got, err := ParseHold(name); got != want || err != nil {
			t.Errorf("%q: got %v, %v", name, got, err)
		}
	}
	if _, err := ParseHold("pinned"); err == nil || !strings.Contains(err.Error(), "staged") {
		t.Errorf("got %v, want an error that lists the ways", err)
	}
}
