package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"ufm/bench"
	"ufm/internal/hardware"
	"ufm/moe"
	"ufm/moe/vulkan"
	"ufm/vk"
)

func infoCommand() *cli.Command {
	return &cli.Command{
		Name:  "info",
		Usage: "show devices, their memory and queues, and measured ceilings",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "measure", Usage: "measure the ceilings of every device now"},
		},
		Action: infoAction,
	}
}

func infoAction(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	devices, err := vk.Devices()
	if err != nil && !noVulkan(err) {
		return err
	}
	if err == nil && len(devices) == 0 {
		err = vk.ErrNoDevice
	}
	if err != nil {
		report(c.App.ErrWriter, err)
	}
	for _, d := range devices {
		printDevice(c.App.Writer, d)
	}
	cpu := newCPU(0)
	printCPU(c.App.Writer, cpu.Device())
	return errors.Join(showCeilings(c, devices, cpu), cpu.Close())
}

// showCeilings prints what is known of each device's rates, after measuring them if
// that is asked for.
func showCeilings(c *cli.Context, devices []vk.DeviceInfo, cpu moe.Backend) error {
	cache, err := hardware.DefaultCache()
	if err != nil {
		fmt.Fprintln(c.App.ErrWriter, "ufm:", err)
	}
	var known []hardware.Ceilings
	if c.Bool("measure") {
		known, err = measure(c, cache, devices, cpu)
	} else {
		known, err = kept(cache, devices, cpu), nil
	}
	if len(known) > 0 {
		printCeilings(c.App.Writer, known)
	} else {
		fmt.Fprintln(c.App.ErrWriter, "ufm: no ceilings were measured yet: ufm info --measure")
	}
	return err
}

// kept are the ceilings that were measured before.
func kept(cache hardware.Cache, devices []vk.DeviceInfo, cpu moe.Backend) []hardware.Ceilings {
	var known []hardware.Ceilings
	add := func(rates hardware.Ceilings, ok bool) {
		if ok {
			known = append(known, rates)
		}
	}
	for _, d := range devices {
		add(cache.Load("vulkan", d.Name, d.Driver))
	}
	d := cpu.Device()
	add(cache.Load(cpu.Name(), d.Name, d.Driver))
	return known
}

// measure measures every device and keeps the rates. A device that lacks a feature is
// told of and left out.
func measure(
	c *cli.Context, cache hardware.Cache, devices []vk.DeviceInfo, cpu moe.Backend,
) (measured []hardware.Ceilings, err error) {
	one := func(b moe.Backend) error {
		fmt.Fprintf(c.App.ErrWriter, "ufm: measuring %s\n", b.Device().Name)
		start := time.Now()
		rates, err := bench.MeasureCeilings(c.Context, b, cache)
		if err == nil {
			measured = append(measured, rates)
			fmt.Fprintf(c.App.ErrWriter, "ufm: that took %.1f s\n", time.Since(start).Seconds())
		}
		return err
	}
	for _, d := range devices {
		b, err := vulkan.Open(vulkan.Options{Device: strconv.Itoa(d.Index)})
		if errors.As(err, new(*vk.MissingFeatureError)) {
			fmt.Fprintln(c.App.ErrWriter, "ufm:", err)
			continue
		}
		if err == nil {
			err = errors.Join(one(b), b.Close())
		}
		if err != nil {
			return measured, err
		}
	}
	return measured, one(cpu)
}
