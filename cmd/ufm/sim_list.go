package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"ufm/pager"
)

// listAction lists what --policy takes.
func listAction(c *cli.Context) error {
	if err := noTraces(c, "list"); err != nil {
		return err
	}
	for _, name := range pager.PolicyNames() {
		if _, err := fmt.Fprintln(c.App.Writer, name); err != nil {
			return err
		}
	}
	return nil
}
