//go:build cgo && linux

package vulkan

// CopyQueues is the number of queues that uploads have for themselves: 0 where they
// take turns with kernels.
func (b *backend) CopyQueues() int {
	if b.device.SingleQueue() {
		return 0
	}
	return min(len(b.device.Transfers()), maxTransfers)
}
