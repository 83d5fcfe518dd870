package kernel

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadsNothingBeyond puts matrices before memory that must not be touched: their
// last rows end where a page ends.
func TestReadsNothingBeyond(t *testing.T) {
	size := unix.Getpagesize()
	memory, err := unix.Mmap(-1, 0, 65*size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	end := 64 * size
	if err := unix.Mprotect(memory[end:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	for p := range problems {
		data := p.matrix.Data
		if len(data) > end {
			t.Fatalf("%d bytes of weights do not fit", len(data))
		}
		p.matrix.Data = memory[end-len(data) : end : end]
		copy(p.matrix.Data, data)
		for _, set := range Available() {
			p.multiply(set, TileOut) // a read beyond ends the process
		}
	}
}
