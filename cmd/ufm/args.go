package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst moves a command's flags before its arguments, since cli takes everything
// after the first argument for arguments. A "--" ends the flags. The command may be one
// of another's ("trace info").
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) < 2 {
		return args
	}
	command := app.Command(args[1])
	if command == nil {
		return args
	}
	names := 2 // words that name the command
	for ; names < len(args); names++ {
		inner := subcommand(command, args[names])
		if inner == nil {
			break
		}
		command = inner
	}
	var flags, plain []string
	for rest := args[names:]; len(rest) > 0; {
		if rest[0] == "--" {
			plain = append(plain, rest[1:]...)
			break
		}
		n := flagLength(command, rest)
		if n == 0 {
			plain = append(plain, rest[0])
			n = 1
		} else {
			flags = append(flags, rest[:n]...)
		}
		rest = rest[n:]
	}
	reordered := append(slices.Clone(args[:names]), flags...)
	if len(plain) > 0 {
		reordered = append(append(reordered, "--"), plain...)
	}
	return reordered
}

// subcommand is the command of that name in another, or nil.
func subcommand(command *cli.Command, name string) *cli.Command {
	for _, c := range command.Subcommands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// flagLength is the number of words that the flag at the start of args takes: none if
// it is an argument, two if its value follows it.
func flagLength(command *cli.Command, args []string) int {
	name, isFlag := strings.CutPrefix(args[0], "-")
	if !isFlag || name == "" {
		return 0
	}
	name = strings.TrimPrefix(name, "-")
	for _, f := range command.Flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if ok && doc.TakesValue() && hasName(f, name) && len(args) > 1 {
			return 2
		}
	}
	return 1 // with its value after "=", without one, or unknown to cli too
}

func hasName(f cli.Flag, name string) bool {
	for _, n := range f.Names() {
		if n == name {
			return true
		}
	}
	return false
}
