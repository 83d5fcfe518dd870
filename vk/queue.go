//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/vulkan-go/vulkan"
)

// Queue executes submissions. Goroutines may share it.
type Queue struct {
	device     *Device
	handle     vulkan.Queue
	family     int
	compute    bool // not only transfers
	timestamps bool

	mu      sync.Mutex    // Vulkan wants one submission at a time
	batches []C.ufm_batch // scratch of a Submit, kept so that it need not allocate
	points  []C.ufm_point
}

// Point is a value of a timeline, to wait for or to signal.
type Point struct {
	Timeline *Timeline
	Value    uint64
}

// Submission is recorded work between what it waits for and what it signals. Signaled
// values must grow along a timeline.
type Submission struct {
	Commands *Commands // may be nil: then only the points count
	Wait     []Point
	Signal   []Point
}

// Submit hands over work in one call of the driver. It starts in the order given, as soon
// as its waits are over; Submit does not wait for that.
func (q *Queue) Submit(s ...Submission) error {
	if err := q.device.usable("submit"); err != nil {
		return err
	}
	for i := range s {
		if c := s[i].Commands; c != nil {
			if err := c.submittable(q); err != nil {
				return fmt.Errorf("vk: submit: %w", err)
			}
		}
	}
	return q.submit(s)
}

// submit flattens s for the shim.
func (q *Queue) submit(s []Submission) error {
	if len(s) == 0 {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batches, q.points = q.batches[:0], q.points[:0]
	for i := range s {
		b := C.ufm_batch{
			waits:   C.uint32_t(len(s[i].Wait)),
			signals: C.uint32_t(len(s[i].Signal)),
		}
		if c := s[i].Commands; c != nil {
			b.commands = C.uint64_t(uintptr(unsafe.Pointer(c.buffer)))
		}
		q.batches = append(q.batches, b)
		q.addPoints(s[i].Wait)
		q.addPoints(s[i].Signal)
	}
	r := C.ufm_submit(q.device.shim, unsafe.Pointer(q.handle),
		unsafe.SliceData(q.batches), C.uint32_t(len(q.batches)),
		unsafe.SliceData(q.points), C.uint32_t(len(q.points)))
	return q.device.check("submit", vulkan.Result(r))
}

func (q *Queue) addPoints(points []Point) {
	for _, p := range points {
		q.points = append(q.points, C.ufm_point{
			timeline: bitsOf(p.Timeline.handle),
			value:    C.uint64_t(p.Value),
		})
	}
}

// submittable says why c cannot go to q.
func (c *Commands) submittable(q *Queue) error {
	switch {
	case c.state != recorded:
		return errors.New("the commands have not been recorded to their end")
	case c.queue.family != q.family:
		return fmt.Errorf("commands for queue family %d given to family %d",
			c.queue.family, q.family)
	}
	return nil
}
