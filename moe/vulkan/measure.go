//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"time"

	"ufm/internal/hardware"
	"ufm/vk"
)

// Measure returns the ceilings that every limit needs: medians of a few repetitions each,
// long enough that launch costs do not show.
func (b *backend) Measure(ctx context.Context) (hardware.Ceilings, error) {
	return b.measure(ctx, newProbe(b, false), (*probe).short)
}

// MeasureAll also measures the link by size of copy, what single operations cost the device
// and the host, and what the driver does with imported memory and with allocations that do not
// fit.
func (b *backend) MeasureAll(ctx context.Context) (hardware.Ceilings, error) {
	c, err := b.measure(ctx, newProbe(b, true), (*probe).long)
	if err == nil { // the probe has given its memory back
		err = b.hostCosts(ctx, &c)
	}
	return c, memoryError(err)
}

func (b *backend) measure(
	ctx context.Context, p *probe, what func(*probe, context.Context, *hardware.Ceilings) error,
) (hardware.Ceilings, error) {
	info := b.device.Info()
	c := hardware.Ceilings{Backend: b.Name(), Device: info.Name, Driver: info.Driver}
	c.Cramped = p.cramped()
	err := p.open(vk.DeviceLocal)
	if err == nil {
		err = what(p, ctx, &c)
	}
	return c, errors.Join(memoryError(err), p.close())
}

// Heat keeps the compute queue busy for d. Only GPUs need it. The memory that it takes is
// the host's, so that a run that has filled its limit can be heated too.
func (b *backend) Heat(ctx context.Context, d time.Duration) error {
	if b.device.Info().Kind == cpuKind {
		return nil
	}
	p := &probe{
		backend: b, device: b.device, readBytes: 1 << 16, workgroups: 1 << 12, rounds: 1024, hot: d,
	}
	err := p.open(vk.HostCached)
	if err == nil {
		_, err = p.flops(ctx)
	}
	return errors.Join(memoryError(err), p.close())
}

// short measures what every limit needs.
func (p *probe) short(ctx context.Context, c *hardware.Ceilings) (err error) {
	if c.ReadGBs, err = p.read(ctx); err != nil {
		return err
	}
	if c.F32TFlops, err = p.flops(ctx); err != nil {
		return err
	}
	if c.BF16TFlops, err = p.matrixFlops(ctx, "bf16"); err != nil {
		return err
	}
	if c.F16TFlops, err = p.matrixFlops(ctx, "f16"); err != nil {
		return err
	}
	c.LinkGBs, err = p.link(ctx)
	return err
}

// read measures device memory read by a kernel, in GB/s.
func (p *probe) read(ctx context.Context) (float64, error) {
	pass, bytes, err := p.reader()
	if err != nil {
		return 0, err
	}
	const passes = 4
	seconds, err := p.timed(ctx, p.computeQueue(), func(_ int, c *vk.Commands) {
		for range passes {
			pass(c)
		}
	})
	return passes * float64(bytes) / seconds / 1e9, err
}

// What a workgroup of read.comp and copy.comp reads, and the most workgroups of a dispatch.
const passBytes, passGroups = 16 * 256 * 16, 1 << 15

// reader records one pass over the target; it reads so many bytes.
func (p *probe) reader() (pass func(*vk.Commands), bytes int64, err error) {
	pipeline, err := p.pipeline("read", pushRead{})
	if err != nil {
		return nil, 0, err
	}
	groups := min(int(p.readBytes/passBytes), passGroups)
	push := pushBytes(pushRead{Src: p.target.Address(), Dst: p.target.Address()})
	pass = func(c *vk.Commands) { c.Dispatch(pipeline, push, groups, 1, 1) }
	return pass, int64(groups) * passBytes, nil
}

// flops measures float32 fused multiply-adds, in TFLOP/s.
func (p *probe) flops(ctx context.Context) (float64, error) {
	pipeline, err := p.pipeline("flops", pushFlops{})
	if err != nil {
		return 0, err
	}
	push := pushBytes(pushFlops{Dst: p.target.Address(), Rounds: uint32(p.rounds), Factor: 0.5})
	seconds, err := p.timed(ctx, p.computeQueue(), func(_ int, c *vk.Commands) {
		c.Dispatch(pipeline, push, p.workgroups, 1, 1)
	})
	const perRound = 256 * 16 * 4 * 2 // threads × chains × vec4 × (multiply, add)
	return float64(p.workgroups) * float64(p.rounds) * perRound / seconds / 1e12, err
}

// matrixFlops measures products of cooperative matrices of 16-bit operands, in TFLOP/s, in
// the largest shape that the device reports for them; 0 where it reports none.
func (p *probe) matrixFlops(ctx context.Context, operand string) (float64, error) {
	info := p.device.Info()
	shape, ok := largestMatrix(info, operand)
	if !ok {
		return 0, nil
	}
	const threads = 128
	spec := []uint32{threads, uint32(shape.M), uint32(shape.N), uint32(shape.K)}
	pipeline, err := p.pipeline("matrixflops_"+operand, pushMatrixFlops{}, spec...)
	if err != nil {
		return 0, err
	}
	push := pushBytes(pushMatrixFlops{Dst: p.target.Address(), Rounds: uint32(p.rounds)})
	seconds, err := p.timed(ctx, p.computeQueue(), func(_ int, c *vk.Commands) {
		c.Dispatch(pipeline, push, p.workgroups, 1, 1)
	})
	subgroups := p.workgroups * threads / info.SubgroupSize
	perRound := 8 * 2 * shape.M * shape.N * shape.K // products × (multiply, add)
	return float64(subgroups) * float64(p.rounds) * float64(perRound) / seconds / 1e12, err
}

// largestMatrix is the shape with most operations of one product of such operands into
// float32.
func largestMatrix(info vk.DeviceInfo, operand string) (largest vk.MatrixShape, ok bool) {
	if operand == "bf16" && !info.BFloat16Matrices {
		return largest, false
	}
	for _, s := range info.Matrices {
		if s.A == operand && s.B == operand && s.C == "f32" && s.Result == "f32" &&
			s.K%8 == 0 && s.M*s.N*s.K > largest.M*largest.N*largest.K {
			largest, ok = s, true
		}
	}
	return largest, ok
}

// linkPiece is the size of copies by which the link is known: large, as experts are.
const linkPiece = 16 << 20

// link measures uploads from a bank's kind of memory, dealt to all transfer queues, in GB/s.
func (p *probe) link(ctx context.Context) (float64, error) {
	if err := p.openHost(); err != nil {
		return 0, err
	}
	return p.copies(ctx, p.transferQueues(), linkPiece, p.linkBytes, p.upload(p.host))
}
