//go:build cgo && linux

package vk_test

import (
	"context"
	"fmt"

	"ufm/vk"
)

// Fills device memory, copies it to the host and reads it there.
func Example() {
	device, err := vk.Open(vk.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer device.Close()
	local, _ := device.NewBuffer(vk.DeviceLocal, 1024, "local")
	defer local.Close()
	host, _ := device.NewBuffer(vk.HostCached, 1024, "host")
	defer host.Close()
	commands, _ := device.NewCommands(device.Compute())
	defer commands.Close()
	done, _ := device.NewTimeline()
	defer done.Close()

	commands.Begin()
	commands.Fill(local, 0, 1024, 0x01010101)
	commands.Barrier()
	commands.Copy(host, 0, local, 0, 1024)
	commands.Barrier() // the host reads what the copy wrote
	if err := commands.End(); err != nil {
		fmt.Println(err)
		return
	}
	device.Compute().Submit(vk.Submission{
		Commands: commands,
		Signal:   []vk.Point{{Timeline: done, Value: 1}},
	})
	if err := done.Wait(context.Background(), 1); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(host.Bytes()[1023])
}
