package moe

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Error names what the memory was for and both sizes.
func (e *OutOfMemoryError) Error() string {
	s := fmt.Sprintf("out of device memory: %s needs %s, %s are free", e.What,
		humanize.IBytes(uint64(e.Requested)), humanize.IBytes(uint64(max(e.Free, 0))))
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s
}

// Unwrap is the backend's own error.
func (e *OutOfMemoryError) Unwrap() error { return e.Err }
