//go:build cgo && linux

package vk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// mapping is n bytes of fd, or of no file, until the test ends.
func mapping(t *testing.T, fd, n, protection, flags int) []byte {
	t.Helper()
	memory, err := unix.Mmap(fd, 0, n, protection, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(memory) })
	return memory
}

// imported makes a buffer of memory, or skips a test that the device cannot run.
func imported(t *testing.T, d *Device, memory []byte) *Buffer {
	t.Helper()
	b, err := d.ImportBuffer(memory, "imported")
	if missing := (*MissingFeatureError)(nil); errors.As(err, &missing) {
		t.Skipf("this device imports nothing: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestImportAnonymousMemory(t *testing.T) {
	const n = 1 << 16
	memory := mapping(t, -1, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	d := open(t, Options{})
	b := imported(t, d, memory)
	if b.Size() != n || len(b.Bytes()) != n {
		t.Errorf("got a buffer of %d with %d bytes to see, want %d", b.Size(), len(b.Bytes()), n)
	}
	setWords(memory, func(i int) uint32 { return uint32(3 * i) }) // after the import
	local, back := buffer(t, d, DeviceLocal, n), buffer(t, d, HostCached, n)
	run(t, d.Transfers()[0], func(c *Commands) {
		c.Copy(local, 0, b, 0, n)
		c.Barrier()
		c.Copy(back, 0, local, 0, n)
	})
	checkWords(t, back.Bytes(), func(i int) uint32 { return uint32(3 * i) })
}

// TestImportMappedFile: a driver may take it or refuse it, but what it takes it reads.
func TestImportMappedFile(t *testing.T) {
	const n = 1 << 16
	want := make([]byte, n)
	setWords(want, func(i int) uint32 { return uint32(7*i + 1) })
	name := filepath.Join(t.TempDir(), "weights")
	if err := os.WriteFile(name, want, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := open(t, Options{})
	memory := mapping(t, int(f.Fd()), n, unix.PROT_READ, unix.MAP_SHARED)
	b, err := d.ImportBuffer(memory, "file")
	if err != nil {
		t.Skipf("refused: %v", err)
	}
	defer b.Close()
	back := buffer(t, d, HostCached, n)
	run(t, d.Transfers()[0], func(c *Commands) { c.Copy(back, 0, b, 0, n) })
	checkWords(t, back.Bytes(), func(i int) uint32 { return uint32(7*i + 1) })
}

func TestImportRefusesOddPieces(t *testing.T) {
	const n = 1 << 16
	memory := mapping(t, -1, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	d := open(t, Options{})
	imported(t, d, memory)
	for name, part := range map[string][]byte{
		"nothing": nil, "an odd start": memory[1:], "an odd end": memory[:n-1],
	} {
		if _, err := d.ImportBuffer(part, "odd"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
