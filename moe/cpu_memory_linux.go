package moe

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// newMemory takes memory for experts in huge pages, where the system has any: kernels
// walk down columns of matrices, one page after the other. It is advice; without it, or
// where the memory does not begin at a page, everything works, only slower.
func newMemory(size int64) []byte {
	memory := make([]byte, size)
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE)
	return memory
}

// hostMemory is the bytes of memory that the host has and those that can be taken
// without swapping, no more than a container's limit. 0 is unknown.
func hostMemory() (total, available int64) {
	fields := readFields("/proc/meminfo")
	total, available = fields["MemTotal:"]*1024, fields["MemAvailable:"]*1024
	const group = "/sys/fs/cgroup"
	limit := readInt(filepath.Join(group, "memory.max"))
	if limit > 0 && limit < total {
		total = limit
		// File pages that are not in use are given up before the limit is hit.
		reclaimable := readFields(filepath.Join(group, "memory.stat"))["inactive_file"]
		used := readInt(filepath.Join(group, "memory.current")) - reclaimable
		available = min(available, max(limit-used, 1))
	}
	return total, available
}

// readFields reads lines of a name and a number. A file that is not there has none.
func readFields(path string) map[string]int64 {
	fields := map[string]int64{}
	f, err := os.Open(path)
	if err != nil {
		return fields
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		if v, err := strconv.ParseInt(words[1], 10, 64); err == nil {
			fields[words[0]] = v
		}
	}
	return fields
}

// readInt reads a file of one number; 0 if it is not there or holds something else.
func readInt(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	v, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return v
}
