//go:build cgo && linux

package vulkan

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/x448/float16"

	"ufm/moe"
	"ufm/vk"
)

// lab runs single kernels on buffers that the host reads and writes.
type lab struct {
	t       *testing.T
	backend *backend
	batch   *batch
	queue   *recorder
	value   uint64
	rng     *rand.Rand
	pool    kernels // pipelines, so that a builder can make them
}

func newLab(t *testing.T) *lab {
	t.Helper()
	b := open(t, Options{})
	l := &lab{t: t, backend: b, rng: rand.New(rand.NewPCG(1, 2))}
	l.batch = &batch{queue: b.device.Compute()}
	var err error
	if l.queue, err = newRecorder(b.device, l.batch); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.pool.Close()
		if err := l.queue.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// pipeline compiles a kernel for these constants.
func (l *lab) pipeline(name string, push any, spec ...int) *vk.Pipeline {
	l.t.Helper()
	b := builder{device: l.backend.device, kernels: &l.pool}
	words := make([]uint32, len(spec))
	for i, s := range spec {
		words[i] = uint32(s)
	}
	p := b.pipeline(name, push, words...)
	if b.err != nil {
		l.t.Fatal(b.err)
	}
	return p
}

// buffer is n bytes of memory for both sides, filled with NaN.
func (l *lab) buffer(n int) *vk.Buffer {
	l.t.Helper()
	b, err := l.backend.device.NewBuffer(vk.HostCached, int64(max(n, 16)), "test")
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { b.Close() })
	for i := range b.Words() {
		b.Words()[i] = poisonWord
	}
	return b
}

// floats is room for n values.
func (l *lab) floats(n int) *vk.Buffer { return l.buffer(4 * n) }

// random is n normally distributed values on the device, and the same for the reference.
func (l *lab) random(n int) (*vk.Buffer, []float64) {
	b := l.floats(n)
	v := make([]float64, n)
	for i := range v {
		b.Floats()[i] = float32(l.rng.NormFloat64())
		v[i] = float64(b.Floats()[i])
	}
	return b, v
}

// matrix is a random matrix in the kernels' layout, padded to inputs × outputs, and in
// natural order for the reference: (out, in).
func (l *lab) matrix(dtype moe.DType, out, in, outputs, inputs int) (*vk.Buffer, []float64) {
	v := make([]float64, out*in)
	var raw []byte
	for i := range v {
		x := float32(l.rng.NormFloat64())
		switch dtype {
		case moe.F32:
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		case moe.F16:
			h := float16.Fromfloat32(x)
			raw, x = binary.LittleEndian.AppendUint16(raw, h.Bits()), h.Float32()
		case moe.BF16:
			bits := math.Float32bits(x) >> 16
			raw, x = binary.LittleEndian.AppendUint16(raw, uint16(bits)), math.Float32frombits(bits<<16)
		}
		v[i] = float64(x)
	}
	b := l.buffer(inputs * outputs * dtype.Size())
	clear(b.Bytes())
	c := column{values: raw, outputs: out, rowBytes: in * dtype.Size()}
	if err := c.transpose(b.Bytes(), 0, inputs*dtype.Size()/4, outputs); err != nil {
		l.t.Fatal(err)
	}
	return b, v
}

// dispatch runs one kernel and waits for it.
func (l *lab) dispatch(p *vk.Pipeline, push any, x, y, z int) {
	l.t.Helper()
	c, err := l.queue.begin(false)
	if err != nil {
		l.t.Fatal(err)
	}
	block, err := binary.Append(nil, binary.LittleEndian, push)
	if err != nil {
		l.t.Fatal(err)
	}
	c.Dispatch(p, append(block, 0, 0, 0, 0)[:pushSize(push)], x, y, z)
	c.Barrier()
	l.value++
	if err := l.queue.end(c, l.value); err != nil {
		l.t.Fatal(err)
	}
	if err := l.batch.submit(); err != nil {
		l.t.Fatal(err)
	}
	if err := l.queue.timeline.Wait(l.t.Context(), l.value); err != nil {
		l.t.Fatal(err)
	}
	l.queue.finished(l.value)
	if err := l.queue.recycle(); err != nil {
		l.t.Fatal(err)
	}
}

// op runs one op of token.comp in so many workgroups and returns its address.
func (l *lab) op(p *vk.Pipeline, op any, push pushToken, workgroups int) uint64 {
	l.t.Helper()
	list := l.buffer(opBytes)
	if _, err := binary.Encode(list.Bytes(), binary.LittleEndian, op); err != nil {
		l.t.Fatal(err)
	}
	push.Ops, push.Last = list.Address(), 1
	l.dispatch(p, push, workgroups, 1, 1)
	return list.Address()
}

// wide is v for comparisons in float64.
func wide(v []float32) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

// near checks a kernel's results. 1e-12 is some ten times what float32 sums of a few
// hundred terms come to.
func (l *lab) near(what string, got []float32, want []float64) {
	l.t.Helper()
	d := moe.Compare(got[:len(want)], want, len(want))
	l.t.Logf("%s: NMSE %.2g", what, d.NMSE)
	if !(d.NMSE <= 1e-12) {
		l.t.Errorf("%s: NMSE %g, largest error %g, want at most 1e-12", what, d.NMSE, d.MaxAbs)
	}
}
