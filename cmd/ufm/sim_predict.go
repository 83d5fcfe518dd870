package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"ufm/bench"
	"ufm/internal/hardware"
)

// predictAction sets measured rows beside what the time model says of them.
func predictAction(c *cli.Context) error {
	if err := noTraces(c, "predict"); err != nil {
		return err
	}
	device, err := openHardware(c)
	if err != nil {
		return err
	}
	path := c.String("predict")
	f, err := os.Open(path)
	if err != nil {
		return flagError("predict", err)
	}
	defer f.Close()
	rows, err := bench.ReadRows(f, path)
	if err != nil {
		return err
	}
	list := bench.Predict(rows, *device)
	tell(c, fmt.Sprintf("on %s as measured %s: paged cells are off by %.1f %% at most",
		device.Device, device.TimeUTC, 100*bench.WorstPrediction(list)))
	for _, r := range rows {
		if r.Backend != device.Backend && device.Backend != "" {
			tell(c, fmt.Sprintf("%s has rows of backend %s, but the ceilings are those of %s on %s",
				path, r.Backend, device.Backend, device.Device))
			break
		}
	}
	return bench.WritePredictions(c.App.Writer, c.String("format"), list)
}

// openHardware reads what --hardware names.
func openHardware(c *cli.Context) (*hardware.Ceilings, error) {
	if !c.IsSet("hardware") {
		return nil, usagef("needs --hardware: a file of ufm info --measure, or one of %s",
			strings.Join(hardware.ProfileNames(), ", "))
	}
	device, err := hardware.Open(c.String("hardware"))
	return &device, flagError("hardware", err)
}
