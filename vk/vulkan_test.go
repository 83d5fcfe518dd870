//go:build cgo && linux

package vk

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"
)

//go:embed testdata/sum.spv
var sumCode []byte

// deliberate counts the validation messages that tests provoke.
var deliberate int

// TestMain fails the whole suite if the validation layer found anything but what tests
// provoked. UFM_VALIDATION chooses the layer's checks for every device of the suite.
func TestMain(m *testing.M) {
	code := m.Run()
	if n, text := ValidationMessages(); n != deliberate {
		fmt.Fprintf(os.Stderr, "got %d validation messages, want %d:\n%s", n, deliberate, text)
		code = max(code, 1)
	}
	os.Exit(code)
}

// unavailable skips a test that needs Vulkan, or fails it where Vulkan is required.
func unavailable(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("UFM_VULKAN") == "required" {
		t.Fatalf("Vulkan is required (UFM_VULKAN): %v", err)
	}
	t.Skipf("no Vulkan here: %v", err)
}

// open opens the best device and closes it with the test.
func open(t *testing.T, o Options) *Device {
	t.Helper()
	if o.Validation == "" {
		o.Validation = os.Getenv("UFM_VALIDATION")
	}
	if o.CacheDir == "" {
		o.CacheDir = "off"
	}
	d, err := Open(o)
	if errors.Is(err, ErrNoLoader) || errors.Is(err, ErrNoDevice) {
		unavailable(t, err)
	}
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// must returns v; closes it with the test if it can be closed.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := any(v).(interface{ Close() error }); ok {
			t.Cleanup(func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		return v
	}
}

// buffer makes a buffer for the test.
func buffer(t *testing.T, d *Device, m Memory, size int64) *Buffer {
	t.Helper()
	return must[*Buffer](t)(d.NewBuffer(m, size, "test"))
}

// run records work for a queue, submits it and waits for it.
func run(t *testing.T, q *Queue, record func(c *Commands)) {
	t.Helper()
	c := must[*Commands](t)(q.device.NewCommands(q))
	done := must[*Timeline](t)(q.device.NewTimeline())
	c.Begin()
	record(c)
	c.Barrier()
	if err := c.End(); err != nil {
		t.Fatal(err)
	}
	if err := q.Submit(Submission{Commands: c, Signal: []Point{{done, 1}}}); err != nil {
		t.Fatal(err)
	}
	if err := done.Wait(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
}

// sum is the test shader: result[i] = offset + scale × Σ block[b][i].
type sum struct {
	pipeline *Pipeline
	table    *Buffer // (blocks) addresses
	blocks   int
}

const sumPush = 24

func newSum(t *testing.T, d *Device, scale, offset uint32, blocks ...*Buffer) *sum {
	t.Helper()
	s := &sum{blocks: len(blocks)}
	s.pipeline = must[*Pipeline](t)(d.NewPipeline(sumCode, []uint32{scale, offset}, sumPush))
	s.table = buffer(t, d, HostCoherent, int64(8*len(blocks)))
	for i, b := range blocks {
		binary.LittleEndian.PutUint64(s.table.Bytes()[8*i:], b.Address())
	}
	return s
}

// push is the shader's push constants for n words of result.
func (s *sum) push(result *Buffer, n int) []byte {
	p := binary.LittleEndian.AppendUint64(nil, s.table.Address())
	p = binary.LittleEndian.AppendUint64(p, result.Address())
	p = binary.LittleEndian.AppendUint32(p, uint32(s.blocks))
	return binary.LittleEndian.AppendUint32(p, uint32(n))
}

// record dispatches the shader over n words of result.
func (s *sum) record(c *Commands, result *Buffer, n int) {
	c.Dispatch(s.pipeline, s.push(result, n), (n+63)/64, 1, 1)
}

// words reads b as uint32.
func words(b []byte) []uint32 {
	w := make([]uint32, len(b)/4)
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return w
}

// setWords writes b as uint32.
func setWords(b []byte, f func(i int) uint32) {
	for i := range len(b) / 4 {
		binary.LittleEndian.PutUint32(b[4*i:], f(i))
	}
}

// checkWords compares every word of b.
func checkWords(t *testing.T, b []byte, want func(i int) uint32) {
	t.Helper()
	for i, got := range words(b) {
		if w := want(i); got != w {
			t.Fatalf("word %d: got %d, want %d", i, got, w)
		}
	}
}
