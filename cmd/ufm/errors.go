package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"ufm/bench/sweep"
	"ufm/vk"
)

// Exit statuses.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNoDevice    = 4
	exitInterrupted = 130
)

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// flagError names the flag whose value is wrong.
func flagError(flag string, err error) error {
	if err == nil {
		return nil
	}
	return usagef("--%s: %w", flag, err)
}

// usageFailed takes over what cli could not parse.
func usageFailed(_ *cli.Context, err error, _ bool) error { return usageError{err} }

// noArguments refuses arguments where a command takes none.
func noArguments(c *cli.Context) error {
	if c.NArg() > 0 {
		return usagef("%s takes no arguments, but was given %q", c.Command.Name, c.Args().First())
	}
	return nil
}

// report tells people of an error and returns the exit status that it stands for.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, "ufm: interrupted")
		return exitInterrupted
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintln(stderr, "ufm:", line)
	}
	if h := hint(err); h != "" {
		fmt.Fprintln(stderr, "ufm: hint:", h)
	}
	return status(err)
}

func status(err error) int {
	var child *sweep.ChildError
	switch {
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.As(err, &child) && child.Code > 0:
		return child.Code
	case errors.As(err, new(differenceError)):
		return exitDifference
	case noVulkan(err):
		return exitNoDevice
	}
	return exitFailure
}

// noVulkan tells whether err means that there is no device to use, as opposed to one
// that fails.
func noVulkan(err error) bool {
	return errors.Is(err, vk.ErrNoCgo) || errors.Is(err, vk.ErrNoLoader) ||
		errors.Is(err, vk.ErrNoDevice) || errors.As(err, new(*vk.MissingFeatureError))
}

// hint is what to do about err, where that is known.
func hint(err error) string {
	switch {
	case errors.Is(err, vk.ErrNoCgo):
		return "build with CGO_ENABLED=1 and a C compiler, or use --backend cpu"
	case errors.Is(err, vk.ErrNoLoader):
		return "install the Vulkan loader and a driver (Debian, Ubuntu: " +
			"apt-get install libvulkan1 mesa-vulkan-drivers), or use --backend cpu"
	case noVulkan(err):
		return "ufm info lists the devices that there are; mesa-vulkan-drivers (Debian, Ubuntu) " +
			"has one for every CPU; --backend cpu needs none"
	}
	return ""
}
