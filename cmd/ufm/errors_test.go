package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"ufm/vk"
)

func TestReport(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("outer: %w", err) }
	for _, c := range []struct {
		name string
		err  error
		code int
		want string // in what is printed
	}{
		{"none", nil, 0, ""},
		{"failure", errors.New("it broke"), 1, "ufm: it broke\n"},
		{"several", errors.Join(errors.New("a"), errors.New("b")), 1, "ufm: a\nufm: b\n"},
		{"usage", usagef("--x: %w", errors.New("bad")), 2, "ufm: --x: bad\n"},
		{"flag", flagError("x", errors.New("bad")), 2, "ufm: --x: bad\n"},
		{"no cgo", wrap(vk.ErrNoCgo), 4, "ufm: hint: build with CGO_ENABLED=1"},
		{"no loader", wrap(vk.ErrNoLoader), 4, "ufm: hint: install the Vulkan loader"},
		{"no device", wrap(vk.ErrNoDevice), 4, "ufm: hint: ufm info lists"},
		{"no feature", wrap(&vk.MissingFeatureError{Device: "d", Feature: "f"}), 4, "d"},
		{"interrupted", errors.Join(wrap(context.Canceled), errors.New("x")), 130,
			"ufm: interrupted\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			if got := report(&b, c.err); got != c.code {
				t.Errorf("got status %d, want %d", got, c.code)
			}
			if !strings.Contains(b.String(), c.want) {
				t.Errorf("got %q, want %q in it", b.String(), c.want)
			}
		})
	}
	if err := flagError("x", nil); err != nil {
		t.Errorf("no error of a flag is %v", err)
	}
}

func TestExitStatus(t *testing.T) {
	t.Setenv("VK_ICD_FILENAMES", "/nowhere.json")
	t.Setenv("VK_DRIVER_FILES", "/nowhere.json")
	for args, want := range map[string]int{
		"":                                     exitOK,
		"--help":                               exitOK,
		"fly":                                  exitUsage,
		"run --fly":                            exitUsage,
		"run --budget 0":                       exitUsage,
		"run --model nowhere":                  exitFailure,
		"run --backend vulkan":                 exitNoDevice,
		"run --device 3":                       exitNoDevice,
		"run --events nowhere/e --backend cpu": exitUsage,
		"run --experts 2 --top-k 3 --backend cpu": exitUsage,
	} {
		args := append([]string{"ufm"}, strings.Fields(args)...)
		if got := run(args, io.Discard, io.Discard); got != want {
			t.Errorf("%q: got status %d, want %d", args, got, want)
		}
	}
}
