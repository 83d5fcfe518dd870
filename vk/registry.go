package vk

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// registry holds what was made from a Device and is still open. It makes every Close
// idempotent, and lets the Device close what was forgotten and say what it was.
type registry struct {
	mu   sync.Mutex
	open map[io.Closer]string
}

// add enters an object under a name for messages.
func (r *registry) add(c io.Closer, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[io.Closer]string{}
	}
	r.open[c] = name
}

// remove reports whether c was open until now.
func (r *registry) remove(c io.Closer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, found := r.open[c]
	delete(r.open, c)
	return found
}

// closeAll closes what is still open; if there is anything, the error names it.
func (r *registry) closeAll() error {
	r.mu.Lock()
	var objects []io.Closer
	var names []string
	for c, name := range r.open {
		objects = append(objects, c)
		names = append(names, name)
	}
	r.mu.Unlock()
	if len(objects) == 0 {
		return nil
	}
	for _, c := range objects {
		c.Close() // returns no errors of its own
	}
	slices.Sort(names)
	const most = 8
	if n := len(names); n > most {
		names = append(names[:most], fmt.Sprintf("%d more", n-most))
	}
	return fmt.Errorf("vk: close device: %d objects were still open: %s",
		len(objects), strings.Join(names, ", "))
}
