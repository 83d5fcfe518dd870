//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ufm/internal/hardware"
)

// importAnonymous measures uploads straight from memory that the host has already.
func (p *probe) importAnonymous(ctx context.Context) (i hardware.Import, err error) {
	memory, err := newMapping(p.linkBytes)
	if err != nil {
		return i, err
	}
	copy(memory, p.host.Bytes()) // untouched pages are not memory yet
	return p.imported(ctx, memory)
}

// importFile measures uploads straight from a mapped file, which could spare a bank its copy in
// the arena. It is to be the last probe: after refusing one NVIDIA's driver may give no memory.
func (p *probe) importFile(ctx context.Context) (hardware.Import, error) {
	n := min(p.linkBytes, 128<<20) // of a disk, perhaps
	memory, err := mapFile(p.host.Bytes()[:n])
	if err != nil {
		return hardware.Import{Refused: "not tried: " + err.Error()}, nil
	}
	return p.imported(ctx, memory)
}

// imported measures uploads from a mapping, unless the driver refuses it. The mapping then ends
// with the probe, for an interrupted copy may still read it. A refused one ends at once.
func (p *probe) imported(ctx context.Context, memory mapping) (i hardware.Import, err error) {
	start := time.Now()
	b, err := p.device.ImportBuffer(memory, "a mapping")
	i.SPerGiB = perGiB(start, int64(len(memory)))
	if err != nil {
		if p.device.Lost() {
			return i, errors.Join(err, memory.Close())
		}
		return hardware.Import{Refused: err.Error()}, memory.Close()
	}
	p.closers = append(p.closers, memory, b)
	total := min(int64(len(memory)), p.linkBytes)
	i.GBs, err = p.copies(ctx, p.transferQueues(), linkPiece, total, p.upload(b))
	return i, err
}

// perGiB is the seconds since start for each GiB of so many bytes.
func perGiB(start time.Time, bytes int64) float64 {
	return time.Since(start).Seconds() * (1 << 30) / float64(bytes)
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
