package main

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"ufm/bench"
	"ufm/moe"
	"ufm/moe/vulkan"
)

// openBackend opens what --backend asks for, with a limit on device memory if it is not
// 0, and says what it took and why.
func openBackend(c *cli.Context, limit int64) (moe.Backend, error) {
	var b moe.Backend
	var err error
	why := ""
	switch name := c.String("backend"); name {
	case "vulkan":
		b, err = openVulkan(c, limit)
	case "cpu":
		if c.IsSet("device") {
			return nil, usagef("--device: the CPU backend has no devices to choose from")
		}
		b = newCPU(limit)
	case "auto":
		b, err = openVulkan(c, limit)
		if err != nil && noVulkan(err) && !c.IsSet("device") {
			why = fmt.Sprintf(", for there is no Vulkan: %v", err)
			b, err = newCPU(limit), nil
		}
	default:
		return nil, usagef("--backend: unknown backend %q (auto, vulkan, cpu)", name)
	}
	if err != nil {
		return nil, err
	}
	d := b.Device()
	fmt.Fprintf(c.App.ErrWriter, "ufm: backend %s on %s (%s)%s\n", b.Name(), d.Name, d.Driver, why)
	return b, nil
}

func memoryLimit(c *cli.Context) (int64, error) {
	if !c.IsSet("vram-limit") {
		return 0, nil
	}
	limit, err := bench.ParseSize(c.String("vram-limit"))
	return limit, flagError("vram-limit", err)
}

// openVulkan opens a Vulkan device. The environment chooses validation and how a bank is
// held, so that every command, tests too, can run under it.
func openVulkan(c *cli.Context, limit int64) (moe.Backend, error) {
	hold, err := vulkan.ParseHold(os.Getenv("UFM_BANK"))
	if err != nil {
		return nil, usagef("UFM_BANK: %v", err)
	}
	return vulkan.Open(vulkan.Options{
		Device:      c.String("device"),
		MemoryLimit: limit,
		Validation:  os.Getenv("UFM_VALIDATION"),
		Bank:        hold,
	})
}

func newCPU(limit int64) moe.Backend {
	return moe.NewCPU(moe.CPUOptions{MemoryLimit: limit})
}
