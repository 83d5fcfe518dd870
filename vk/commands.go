//go:build cgo && linux

package vk

import "github.com/vulkan-go/vulkan"

// Commands are work recorded for a queue. After End they may be submitted any number of
// times, one after the other; Begin starts them anew. The first mistake of a recording is
// kept for End, and what follows it is ignored.
type Commands struct {
	device *Device
	queue  *Queue
	pool   vulkan.CommandPool
	buffer vulkan.CommandBuffer
	begin  vulkan.CommandBufferBeginInfo // never changed: the binding keeps its C copy
	state  state
	err    error           // the recording's first
	bound  vulkan.Pipeline // the last one recorded
	push   []byte          // copy of a dispatch's push constants, so that they need not escape
}

// state is where Commands are between Begin and End.
type state uint8

const (
	empty state = iota
	recording
	recorded
)

// NewCommands makes room for commands of q and queues of the same family.
func (d *Device) NewCommands(q *Queue) (*Commands, error) {
	if err := d.usable("commands"); err != nil {
		return nil, err
	}
	c := &Commands{device: d, queue: q, push: make([]byte, d.physical.info.MaxPushConstants)}
	c.begin.SType = vulkan.StructureTypeCommandBufferBeginInfo
	if err := c.create(); err != nil {
		return nil, err
	}
	d.objects.add(c, "commands")
	return c, nil
}

// create makes a pool for the one command buffer, so that recordings share nothing.
func (c *Commands) create() error {
	d := c.device
	pool := vulkan.CommandPoolCreateInfo{
		SType:            vulkan.StructureTypeCommandPoolCreateInfo,
		QueueFamilyIndex: uint32(c.queue.family),
	}
	defer pool.Free()
	var handle vulkan.CommandPool
	r := vulkan.CreateCommandPool(d.handle, &pool, nil, &handle)
	if err := d.check("commands", r); err != nil {
		return err
	}
	c.pool = handle
	info := vulkan.CommandBufferAllocateInfo{
		SType:              vulkan.StructureTypeCommandBufferAllocateInfo,
		CommandPool:        c.pool,
		Level:              vulkan.CommandBufferLevelPrimary,
		CommandBufferCount: 1,
	}
	defer info.Free()
	buffers := make([]vulkan.CommandBuffer, 1)
	r = vulkan.AllocateCommandBuffers(d.handle, &info, buffers)
	if err := d.check("commands", r); err != nil {
		vulkan.DestroyCommandPool(d.handle, c.pool, nil)
		return err
	}
	c.buffer = buffers[0]
	return nil
}

// Begin drops what was recorded and starts a recording.
func (c *Commands) Begin() {
	c.state, c.bound = recording, vulkan.NullPipeline
	if c.err = c.device.usable("record"); c.err != nil {
		return
	}
	c.err = c.device.check("record", vulkan.ResetCommandPool(c.device.handle, c.pool, 0))
	if c.err == nil {
		c.err = c.device.check("record", vulkan.BeginCommandBuffer(c.buffer, &c.begin))
	}
}

// End ends the recording and returns its first error.
func (c *Commands) End() error {
	if c.ok() {
		c.err = c.device.check("record", vulkan.EndCommandBuffer(c.buffer))
	}
	c.state = empty
	if c.err == nil {
		c.state = recorded
	}
	return c.err
}

// Close frees the commands.
func (c *Commands) Close() error {
	if c.device.objects.remove(c) {
		vulkan.DestroyCommandPool(c.device.handle, c.pool, nil)
		c.begin.Free()
	}
	return nil
}
