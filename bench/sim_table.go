package bench

import (
	"github.com/dustin/go-humanize"

	"ufm/sim"
)

// simColumns are what people look at in a simulation's rows.
var simColumns = []column[sim.Row]{
	{"trace", func(r sim.Row) string { return r.Trace }, true},
	{"policy", func(r sim.Row) string { return r.Policy }, true},
	{"slots", func(r sim.Row) string { return humanize.Comma(int64(r.Slots)) }, false},
	{"of bank", func(r sim.Row) string { return percent(r.SlotsFraction) }, false},
	{"accesses", func(r sim.Row) string { return integer(r.Accesses) }, false},
	{"misses", func(r sim.Row) string { return integer(r.Misses) }, false},
	{"hit rate", func(r sim.Row) string { return percent(r.HitRate) }, false},
	{"late", func(r sim.Row) string { return show(r.LateHits, integer[int64]) }, false},
	{"uploads", func(r sim.Row) string { return integer(r.Uploads) }, false},
	{"uploaded", func(r sim.Row) string { return show(r.UploadBytes, size) }, false},
	{"stall ms", func(r sim.Row) string { return show(r.StallMs, figure) }, false},
	{"tok/s (modeled)", func(r sim.Row) string { return show(r.TokensPerS, figure) }, false},
	{"limit by", func(r sim.Row) string { return show(r.LimitBy, same) }, true},
}
