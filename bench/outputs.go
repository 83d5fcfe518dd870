package bench

import (
	"slices"

	"ufm/moe"
	"ufm/pager"
)

// openOutputs starts what this mode writes besides its row.
func (c *cell) openOutputs() {
	if c.Events != nil && c.mode == moe.UFM {
		c.log = pager.NewLog(c.Events, pager.LogHeader{
			Shape: c.shape.Paging(), Policy: c.policy.Name(), Slots: c.slots,
			Order: pager.ResidentFirst.String(), Seed: c.Seed,
		})
	}
	traced := c.Modes[0]
	if slices.Contains(c.Modes, moe.UFM) {
		traced = moe.UFM
	}
	if c.TraceOut != nil && c.mode == traced {
		c.chosen = newChosen(c.shape, c.Model.Name(), c.Tokens)
	}
}

// closeOutputs writes what is left to write. It is called also for a mode that failed:
// its events tell how far it came.
func (c *cell) closeOutputs() error {
	if c.log != nil {
		if err := c.log.Close(); err != nil {
			return err
		}
	}
	if c.chosen != nil && len(c.chosen.trace.Chosen) > 0 {
		return c.chosen.trace.Write(c.TraceOut)
	}
	return nil
}
