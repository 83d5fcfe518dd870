package bench

import (
	"context"
	"errors"
	"strings"
	"testing"

	"ufm/internal/hardware"
	"ufm/moe"
)

// measuring is a device whose rates are known.
type measuring struct {
	moe.Backend
	times int
	err   error
}

func (*measuring) Name() string       { return "fake" }
func (*measuring) Device() moe.Device { return moe.Device{Name: "card", Driver: "1"} }

func (m *measuring) Measure(context.Context) (hardware.Ceilings, error) {
	m.times++
	return card, m.err
}

// noTiming stands for the timing of kernels, which the fakes have none of.
func noTiming(context.Context, moe.Backend) (*hardware.Timing, error) { return nil, nil }

func TestCeilingsAreMeasuredOnce(t *testing.T) {
	cache := hardware.Cache{Dir: t.TempDir()}
	m := &measuring{}
	for range 2 {
		got, err := Ceilings(t.Context(), m, cache)
		if err != nil {
			t.Fatal(err)
		}
		if got.ReadGBs != card.ReadGBs || got.Backend != "fake" || got.Device != "card" ||
			got.Driver != "1" || got.TimeUTC == "" {
			t.Errorf("got %+v", got)
		}
	}
	if m.times != 1 {
		t.Errorf("measured %d times, want once", m.times)
	}
	if _, err := measureAll(t.Context(), m, cache, noTiming); err != nil || m.times != 2 {
		t.Errorf("measured %d times (%v), want again when asked to", m.times, err)
	}
}

// thorough also has a long measurement.
type thorough struct {
	measuring
	long int
}

func (m *thorough) MeasureAll(context.Context) (hardware.Ceilings, error) {
	m.long++
	c := card
	c.Link = []hardware.LinkRate{{Bytes: 1 << 20, UpGBs: 50, OneQueueGBs: 48, DownGBs: 49}}
	return c, m.err
}

// TestCeilingsLongAndShort: a run takes the short measurement and is content with either;
// only who asks for all gets the table.
func TestCeilingsLongAndShort(t *testing.T) {
	cache := hardware.Cache{Dir: t.TempDir()}
	m := &thorough{}
	short, err := Ceilings(t.Context(), m, cache)
	if err != nil || m.times != 1 || m.long != 0 || short.Link != nil {
		t.Fatalf("a run: %d short and %d long, %v, %+v", m.times, m.long, err, short)
	}
	if _, err := measureAll(t.Context(), m, cache, noTiming); err != nil || m.times != 1 || m.long != 1 {
		t.Errorf("asked for all: %d short and %d long, %v", m.times, m.long, err)
	}
	kept, err := Ceilings(t.Context(), m, cache)
	if err != nil || m.times != 1 || len(kept.Link) != 1 {
		t.Errorf("a run after that: %d short, %v, %+v", m.times, err, kept)
	}
}

func TestCeilingsThatCannotBeMeasured(t *testing.T) {
	m := &measuring{err: errors.New("no clock")}
	_, err := Ceilings(t.Context(), m, hardware.Cache{})
	if err == nil || !strings.Contains(err.Error(), "measure card: no clock") {
		t.Errorf("got %v, want an error that names the device", err)
	}
}
