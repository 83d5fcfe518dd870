package main

import "github.com/urfave/cli/v2"

func benchCompareCommand() *cli.Command { return &cli.Command{Name: "compare"} }
