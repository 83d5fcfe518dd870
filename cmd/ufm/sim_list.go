package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/urfave/cli/v2"

	"ufm/sim"
)

// listAction lists what --policy takes.
func listAction(c *cli.Context) error {
	if err := noTraces(c, "list"); err != nil {
		return err
	}
	switch format := c.String("format"); format {
	case "table":
		return listTable(c.App.Writer)
	case "json":
		e := json.NewEncoder(c.App.Writer)
		e.SetIndent("", "  ")
		return e.Encode(listed())
	default:
		return usagef("--format %s: --list has table and json", format)
	}
}

// listedPolicy is a policy as --list --format json tells it: values as --policy takes them.
type listedPolicy struct {
	Name       string            `json:"name"`
	Evicts     string            `json:"evicts"`
	Cost       string            `json:"cost"`
	Source     string            `json:"source"`
	Parameters []listedParameter `json:"parameters"`
}

type listedParameter struct {
	Key     string `json:"key"`
	Meaning string `json:"meaning"`
	Default string `json:"default"`
	Low     string `json:"low"`
	High    string `json:"high"`
}

func listed() []listedPolicy {
	var list []listedPolicy
	for _, p := range sim.SweepPolicies() {
		l := listedPolicy{p.Name, p.Evicts, p.Cost, p.Source, []listedParameter{}}
		for _, v := range p.Parameters {
			l.Parameters = append(l.Parameters, listedParameter{
				v.Key, v.Meaning, v.Text(v.Default), v.Text(v.Low), v.Text(v.High),
			})
		}
		list = append(list, l)
	}
	return list
}

func listTable(w io.Writer) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, WidthMax: 50}, {Number: 5, WidthMax: 40}})
	t.AppendHeader(table.Row{"policy", "evicts", "an access", "parameters", "source"})
	for _, p := range sim.SweepPolicies() {
		var parameters []string
		for _, v := range p.Parameters {
			parameters = append(parameters, fmt.Sprintf("%s=%s (%s to %s)",
				v.Key, v.Text(v.Default), v.Text(v.Low), v.Text(v.High)))
		}
		t.AppendRow(table.Row{p.Name, p.Evicts, p.Cost, strings.Join(parameters, "\n"), p.Source})
	}
	_, err := fmt.Fprintln(w, t.Render())
	return err
}
