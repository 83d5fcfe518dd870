package bench

import (
	"context"
	"fmt"
	"time"

	"ufm/internal/hardware"
	"ufm/moe"
)

// Ceilings are the rates of b's device, from the cache or else measured now and kept: the
// few that limits need. A cache that cannot be written only costs the next run its time.
func Ceilings(ctx context.Context, b moe.Backend, cache hardware.Cache) (hardware.Ceilings, error) {
	d := b.Device()
	if kept, ok := cache.Load(b.Name(), d.Name, d.Driver); ok {
		return kept, nil
	}
	return measure(ctx, b, cache, b.Measure)
}

// MeasureCeilings measures all rates of b's device, those of its own kernels too, and
// keeps them.
func MeasureCeilings(
	ctx context.Context, b moe.Backend, cache hardware.Cache,
) (hardware.Ceilings, error) {
	return measureAll(ctx, b, cache, MeasureTiming)
}

func measureAll(
	ctx context.Context, b moe.Backend, cache hardware.Cache,
	timing func(context.Context, moe.Backend) (*hardware.Timing, error),
) (hardware.Ceilings, error) {
	ceilings := b.Measure
	if all, ok := b.(interface {
		MeasureAll(ctx context.Context) (hardware.Ceilings, error)
	}); ok {
		ceilings = all.MeasureAll
	}
	return measure(ctx, b, cache, func(ctx context.Context) (hardware.Ceilings, error) {
		c, err := ceilings(ctx)
		if err == nil {
			c.Timing, err = timing(ctx, b)
		}
		return c, err
	})
}

func measure(
	ctx context.Context, b moe.Backend, cache hardware.Cache,
	how func(context.Context) (hardware.Ceilings, error),
) (hardware.Ceilings, error) {
	c, err := how(ctx)
	if err != nil {
		return hardware.Ceilings{}, fmt.Errorf("bench: measure %s: %w", b.Device().Name, err)
	}
	d := b.Device()
	c.Schema, c.Backend, c.Device, c.Driver = hardware.Schema, b.Name(), d.Name, d.Driver
	c.TimeUTC = time.Now().UTC().Format(time.RFC3339)
	_ = cache.Save(c)
	return c, nil
}
