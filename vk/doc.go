// Package vk is a small Vulkan runtime for compute: devices, memory with device
// addresses, queues, timelines, recorded commands, pipelines and timestamps. It
// knows nothing of experts.
//
//	device, err := vk.Open(vk.Options{})
//	buffer, err := device.NewBuffer(vk.DeviceLocal, 1<<20, "activations")
//	pipeline, err := device.NewPipeline(spirv, nil, 16)
//	commands, err := device.NewCommands(device.Compute())
//	done, err := device.NewTimeline()
//
//	commands.Begin()
//	commands.Dispatch(pipeline, push, 64, 1, 1) // push carries buffer.Address()
//	commands.Barrier()
//	err = commands.End()
//	err = device.Compute().Submit(vk.Submission{
//		Commands: commands, Signal: []vk.Point{{Timeline: done, Value: 1}}})
//	err = done.Wait(ctx, 1)
//
// # Memory
//
// There are no descriptors. A shader reaches a buffer by its address, which stands
// in push constants or in another buffer. Every buffer is one allocation of its own,
// so make few large ones. An address is not checked: what a shader writes outside of
// its buffers is lost or loses the device.
//
// # Order
//
// Commands of one queue may overlap unless a [Commands.Barrier] stands between them.
// Work of two queues is ordered by the points of a [Submission] alone. On one queue a
// submission must not wait for a point that a later one signals: it would never start.
//
// # Errors, limits and time
//
// After the device is lost every call returns [ErrDeviceLost]. Device-local memory
// may be limited below what the device has ([Options.MemoryLimit]), which stands in
// for a smaller device. Every wait ends: by its context, by the device's loss, or with
// [ErrTimeout] after [Options.WaitLimit].
//
// # Concurrency
//
// A Device, its Queues, Buffers, Pipelines and Timelines may be used by several
// goroutines. Commands and Timestamps belong to one goroutine at a time, and must not be
// recorded, reset or closed while the device executes them; nothing may be closed while
// the device uses it.
//
// # Builds
//
// The runtime needs cgo and Linux, and loads libvulkan.so.1 when it is first used. Built
// without cgo, [Devices] and [Open] return [ErrNoCgo].
package vk
