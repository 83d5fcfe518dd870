//go:build cgo && linux

package vulkan

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ufm/internal/hardware"
)

// imports measures uploads straight from anonymous memory and from a mapped file, which
// could spare a bank its copy in the arena.
func (p *probe) imports(ctx context.Context) (anonymous, file hardware.Import, err error) {
	n := int(min(p.linkBytes, 128<<20))
	memory, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return anonymous, file, fmt.Errorf("vulkan: map %d bytes: %w", n, err)
	}
	copy(memory, p.host.Bytes()) // untouched pages are not memory yet
	if anonymous, err = p.imported(ctx, memory); err != nil {
		return anonymous, file, err
	}
	if memory, err = mapFile(p.host.Bytes()[:n]); err != nil {
		return anonymous, hardware.Import{Refused: "not tried: " + err.Error()}, nil
	}
	file, err = p.imported(ctx, memory)
	return anonymous, file, err
}

// imported measures uploads from a mapping, unless the driver refuses it.
func (p *probe) imported(ctx context.Context, memory []byte) (i hardware.Import, err error) {
	p.closers = append(p.closers, mapping(memory))
	b, err := p.device.ImportBuffer(memory, "a mapping")
	if err != nil {
		if p.device.Lost() {
			return i, err
		}
		return hardware.Import{Refused: err.Error()}, nil
	}
	p.closers = append(p.closers, b)
	i.GBs, err = p.copies(ctx, p.transferQueues(), linkPiece, int64(len(memory)), p.upload(b))
	return i, err
}

// mapFile maps a temporary file with that content, as a checkpoint would be mapped. The
// file is gone when it is unmapped.
func mapFile(content []byte) ([]byte, error) {
	f, err := os.CreateTemp("", "ufm-measure-*")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	if _, err := f.Write(content); err != nil {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ, unix.MAP_SHARED)
}
