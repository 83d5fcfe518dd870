// Package vulkan runs MoE layers on a Vulkan device: it is moe's Backend for every
// vendor's GPU, and for a CPU through a software driver.
//
//	b, err := vulkan.Open(vulkan.Options{})
//	r, err := b.NewRunner(moe.RunConfig{Shape: m.Shape(), Mode: moe.UFM, Slots: 128, MaxTokens: 512})
//	bank, err := b.NewBank(ctx, m, nil)
//	err = r.Attach(ctx, bank)
//	times, err := r.Step(ctx, &moe.Batch{Tokens: 512, Input: x})
//
// A layer is two pieces of work. The router's kernels choose experts and group their
// rows; the host reads how many rows each expert has, asks the pager, and submits the
// uploads of what is missing on the transfer queues and the expert products on the
// compute queue, in chunks that wait for one another through timelines and never
// through the host.
//
// NewTextRunner runs whole language models: the same layers with attention, norms, embedding
// and head around them, all on the device (files text_*.go).
//
// Experts lie in the host bank, in the slots and in the kernels in one layout
// (moe.Layout), so an upload is a copy of contiguous bytes.
package vulkan
