package main

import (
	"io"
	"strings"
	"testing"
)

func TestFlagsFirst(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"no command", "ufm", "ufm"},
		{"unknown command", "ufm fly --high", "ufm fly --high"},
		{"flags only", "ufm run --seed 2 --verify", "ufm run --seed 2 --verify"},
		{"argument first", "ufm run a --seed 2", "ufm run --seed 2 -- a"},
		{"argument between", "ufm run --seed 2 a --verify b", "ufm run --seed 2 --verify -- a b"},
		{"value with equals", "ufm run a --seed=2 b", "ufm run --seed=2 -- a b"},
		{"one dash", "ufm run a -seed 2", "ufm run -seed 2 -- a"},
		{"value like a flag", "ufm run a --budget -1", "ufm run --budget -1 -- a"},
		{"value missing", "ufm run a --seed", "ufm run --seed -- a"},
		{"two dashes", "ufm run a -- --seed", "ufm run -- a --seed"},
		{"unknown flag", "ufm run a --fly", "ufm run --fly -- a"},
		{"command in another", "ufm trace info a --format json", "ufm trace info --format json -- a"},
		{"unknown command in another", "ufm trace tell --format json", "ufm trace --format -- tell json"},
		{"sub-command", "ufm bench compare a b --fail-slower 5%",
			"ufm bench compare --fail-slower 5% -- a b"},
		{"no sub-command", "ufm bench compar a --resume", "ufm bench --resume -- compar a"},
		{"a dash", "ufm run - --verify", "ufm run --verify -- -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := newApp(io.Discard, io.Discard)
			got := strings.Join(flagsFirst(app, strings.Fields(c.args)), " ")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
