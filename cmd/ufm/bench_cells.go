package main

import (
	"errors"
	"flag"

	"github.com/urfave/cli/v2"

	"ufm/bench/sweep"
	"ufm/moe"
	"ufm/vk"
)

// cellsCommandName is the command that ufm bench runs itself with, a process for the
// cells of one bank. It is not for people.
const cellsCommandName = "bench-cells"

func benchCellsCommand() *cli.Command {
	return &cli.Command{
		Name:   cellsCommandName,
		Usage:  "run cells of a sweep: the request comes on standard input",
		Hidden: true,
		Action: func(c *cli.Context) error {
			err := sweep.Serve(c.Context, c.App.Reader, c.App.Writer, sweep.Opener{
				Open:    func(b, d string, limit int64) (moe.Backend, error) { return openNamed(c, b, d, limit) },
				Details: vulkanDetails, OpenTrace: loadRouting,
			})
			return errors.Join(err, validationFindings())
		},
	}
}

// openNamed opens a backend by the names that flags use.
func openNamed(c *cli.Context, backend, device string, limit int64) (moe.Backend, error) {
	set := flag.NewFlagSet("backend", flag.ContinueOnError)
	set.String("backend", backend, "")
	set.String("device", "", "")
	if device != "" {
		if err := set.Set("device", device); err != nil {
			return nil, err
		}
	}
	return openBackend(cli.NewContext(c.App, set, c), limit)
}

// vulkanDetails is all that Vulkan tells of the device in use; nil for other backends.
func vulkanDetails(b moe.Backend) any {
	if b.Name() != "vulkan" {
		return nil
	}
	devices, err := vk.Devices()
	if err != nil {
		return nil
	}
	for _, d := range devices {
		if d.Name == b.Device().Name && d.Driver == b.Device().Driver {
			return d
		}
	}
	return nil
}
