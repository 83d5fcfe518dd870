// Package moe runs the routed layers of Mixture-of-Experts models: shapes,
// checkpoints, synthetic models, routing, a float64 reference, and the backends
// that execute a model whose expert bank is larger than device memory.
//
// A caller opens a Model and a Backend and runs steps, one batch of tokens through
// all layers each:
//
//	runner, err := backend.NewRunner(cfg)          // device memory, before any bank
//	bank, err := backend.NewBank(ctx, model, nil)  // all experts in host memory
//	err = runner.Attach(ctx, bank)
//	times, err := runner.Step(ctx, &batch)         // as often as wanted
//	stats := runner.Stats()                        // hits, misses, uploads
//
// NewCPU is the backend on the host's cores; the Vulkan backend is the sub-package vulkan.
// Both store experts in the same Layout and compute the same function: the router's
// softmax and top-k, the chosen experts' MLPs with float32 accumulation, and their
// weighted sum in the order of the top-k. On one backend the result has the same
// bits in every Mode, at every budget and under every policy.
//
// Whole language models run the same way: OpenText checks the weights around a
// checkpoint's experts, NewSyntheticText makes a model of a real one's shapes, and a
// backend that is a TextBackend makes a TextRunner of either, whose Forward appends
// tokens to a sequence and gives their logits. The package's example does that.
//
// Sizes are bytes, times are time.Duration. A Model may be used concurrently; a
// Backend, a Bank and a Runner by one goroutine at a time.
package moe
