// Command ufm runs routed (Mixture-of-Experts) models whose expert bank is larger than
// the GPU's memory, and accounts for what that costs.
//
// Standard output carries data. What is for people goes to standard error, a line at a
// time with the prefix "ufm: ". Exit statuses: 0 ok, 1 failure, 2 usage, 3 a check
// found a difference, 4 no such device, 130 interrupted.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
)

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// run is the whole program but for the process around it.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, but not one of the same moment: timeout
	// sends its signal to the process and to its group.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	defer stop()
	app := newApp(stdout, stderr)
	return report(stderr, app.RunContext(ctx, flagsFirst(app, args)))
}

func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:            "ufm",
		Usage:           "run routed models whose experts do not fit the GPU",
		HideVersion:     true,
		HideHelpCommand: true,
		Writer:          stdout,
		ErrWriter:       stderr,
		ExitErrHandler:  func(*cli.Context, error) {}, // report does it
		OnUsageError:    usageFailed,
		Action:          noCommand,
		Commands: []*cli.Command{infoCommand(), runCommand(), simCommand(), traceCommand(),
			benchCommand(), benchCellsCommand(), generateCommand(), perplexityCommand(), synthCommand()},
	}
	own(app.Commands)
	return app
}

// own makes commands, and those inside them, report as this program does.
func own(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = usageFailed
		c.HideHelpCommand = true
		own(c.Subcommands)
	}
}

// noCommand is what ufm does without a sub-command that it knows.
func noCommand(c *cli.Context) error {
	if name := c.Args().First(); name != "" {
		return usagef("unknown command %q (ufm --help lists them)", name)
	}
	return cli.ShowAppHelp(c)
}
