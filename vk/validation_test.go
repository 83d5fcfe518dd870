//go:build cgo && linux

package vk

import (
	"errors"
	"strings"
	"testing"

	"github.com/vulkan-go/vulkan"
)

// openChecked opens a device under the validation layer.
func openChecked(t *testing.T, checks string) *Device {
	t.Helper()
	open(t, Options{}) // skips where there is no Vulkan
	d, err := Open(Options{Validation: checks, CacheDir: "off"})
	if err != nil {
		unavailable(t, err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// provoke runs a mistake, and returns what the layer says to it.
func provoke(t *testing.T, mistake func()) {
	t.Helper()
	before, _ := ValidationMessages()
	mistake()
	after, text := ValidationMessages()
	deliberate += after - before
	if after == before {
		t.Error("the layer said nothing to a mistake")
	} else if !strings.Contains(text, "VUID") && !strings.Contains(text, "SYNC") {
		t.Errorf("got no text of the message: %q", text)
	}
}

func TestValidationCore(t *testing.T) {
	d := openChecked(t, "core")
	b := buffer(t, d, DeviceLocal, 64)
	before, _ := ValidationMessages()
	run(t, d.Compute(), func(c *Commands) { c.Fill(b, 0, 64, 1) })
	if after, text := ValidationMessages(); after != before {
		t.Errorf("got %d messages without a mistake:\n%s", after-before, text)
	}
	c := must[*Commands](t)(d.NewCommands(d.Compute()))
	c.Begin()
	provoke(t, func() { // Fill itself would not let this through
		vulkan.CmdFillBuffer(c.buffer, b.handle, 2, 4, 0)
	})
	if err := c.End(); err != nil {
		t.Log(err) // the layer may refuse the recording
	}
}

func TestValidationSync(t *testing.T) {
	d := openChecked(t, "sync")
	b, back := buffer(t, d, DeviceLocal, 64), buffer(t, d, HostCached, 64)
	c := must[*Commands](t)(d.NewCommands(d.Compute()))
	c.Begin()
	c.Fill(b, 0, 64, 1)
	provoke(t, func() { c.Copy(back, 0, b, 0, 64) }) // a Barrier is missing
	if err := c.End(); err != nil {
		t.Log(err)
	}
}

func TestUnknownValidation(t *testing.T) {
	_, err := Open(Options{Validation: "all", MemoryLimit: -1})
	if err == nil || !strings.Contains(err.Error(), `"all"`) ||
		!strings.Contains(err.Error(), "memory limit -1") {
		t.Errorf("got %v, want both mistakes named", err)
	}
	if errors.Is(err, ErrNoDevice) {
		t.Error("options must be checked before devices")
	}
}
