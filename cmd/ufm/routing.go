package main

import (
	"ufm/internal/trace"
	"ufm/moe"
)

// loadRouting opens the trace file of a routing.
func loadRouting(path string) (*moe.RoutingTrace, error) {
	t, err := trace.Open(path)
	if err != nil {
		return nil, err
	}
	return &moe.RoutingTrace{
		Layers: t.Layers, Experts: t.Experts, TopK: t.TopK, IDs: t.Chosen,
	}, nil
}
