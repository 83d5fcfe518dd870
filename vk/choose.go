package vk

import (
	"fmt"
	"strconv"
	"strings"
)

// candidate is a device that Open may take.
type candidate struct {
	info    DeviceInfo
	missing string // the first required feature that it lacks, or ""
}

// chooseDevice returns the candidate that want means: see Options.Device.
func chooseDevice(all []candidate, want string) (int, error) {
	i := -1
	if want == "" {
		i = bestDevice(all)
	} else {
		i = namedDevice(all, want)
	}
	if i < 0 {
		return 0, noDevice(all, want)
	}
	if c := all[i]; c.missing != "" {
		return 0, &MissingFeatureError{Device: c.info.Name, Feature: c.missing}
	}
	return i, nil
}

// bestDevice prefers complete devices, then faster kinds, then lower indexes.
func bestDevice(all []candidate) int {
	best, bestRank := -1, -1
	for i, c := range all {
		if rank := rankOf(c); rank > bestRank {
			best, bestRank = i, rank
		}
	}
	return best
}

func rankOf(c candidate) int {
	rank := map[string]int{
		kindDiscrete: 4, kindIntegrated: 3, kindVirtual: 2, kindCPU: 1,
	}[c.info.Kind]
	if c.missing == "" {
		rank += 10
	}
	return rank
}

// namedDevice finds an index or a part of a name. A large number, like 4090, is a part of
// a name.
func namedDevice(all []candidate, want string) int {
	const large = 100
	if n, err := strconv.Atoi(want); err == nil && n < large {
		if n < 0 || n >= len(all) {
			return -1
		}
		return n
	}
	for i, c := range all {
		if strings.Contains(strings.ToLower(c.info.Name), strings.ToLower(want)) {
			return i
		}
	}
	return -1
}

func noDevice(all []candidate, want string) error {
	if len(all) == 0 {
		return fmt.Errorf("vk: %w: no driver offers one (Debian: mesa-vulkan-drivers)", ErrNoDevice)
	}
	var have []string
	for _, c := range all {
		have = append(have, fmt.Sprintf("%d %q (%s)", c.info.Index, c.info.Name, c.info.Kind))
	}
	return fmt.Errorf("vk: %w %q (there are %s)", ErrNoDevice, want, strings.Join(have, ", "))
}

// queuePlan is which queues a device is opened with.
type queuePlan struct {
	compute   int // family
	transfer  int // family, or -1: transfers use the compute queue
	transfers int // queues of the transfer family
}

// chooseQueues prefers a compute family without graphics, which the display does not
// share, and a family that can only copy, which is the copy engine. It takes two queues
// of that: one alone does not fill a fast link.
func chooseQueues(families []QueueFamily, single bool) (queuePlan, bool) {
	p := queuePlan{compute: -1, transfer: -1}
	bestRank := 0
	for _, f := range families {
		if rank := computeRank(f); rank > bestRank {
			p.compute, bestRank = f.Index, rank
		}
		if f.Transfer && !f.Compute && !f.Graphics && !f.media && p.transfer < 0 && !single {
			p.transfer, p.transfers = f.Index, min(f.Count, 2)
		}
	}
	return p, p.compute >= 0
}

// computeRank is 0 for a family without compute.
func computeRank(f QueueFamily) int {
	if !f.Compute || f.Count < 1 {
		return 0
	}
	rank := 1
	if f.TimestampBits > 0 {
		rank += 2
	}
	if !f.Graphics {
		rank++
	}
	return rank
}
