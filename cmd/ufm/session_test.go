package main

import (
	"io"
	"testing"

	"ufm/moe"
	"ufm/moe/generate"
)

func TestAllAtOnce(t *testing.T) {
	const universe = 256
	for name, c := range map[string]struct {
		opts   generate.Options
		device moe.Device
		want   bool
	}{
		"all fit":            {generate.Options{Slots: universe}, moe.Device{}, true},
		"one does not":       {generate.Options{Slots: universe - 1}, moe.Device{}, false},
		"one memory":         {generate.Options{Slots: universe}, moe.Device{Unified: true}, false},
		"a log is asked for": {generate.Options{Slots: universe, Events: io.Discard}, moe.Device{}, false},
	} {
		if got := allAtOnce(c.opts, universe, c.device); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}
