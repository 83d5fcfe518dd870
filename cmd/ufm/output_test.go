package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOutput(t *testing.T) {
	old := filepath.Join(t.TempDir(), "old")
	if err := os.WriteFile(old, []byte("what was there before"), 0o644); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	for _, c := range []struct {
		name, path string
		writes     []string
		want       string
		gone       bool
	}{
		{"nothing written to an old file", old, nil, "what was there before", false},
		{"nothing written to a new file", fresh, nil, "", true},
		{"an old file replaced", old, []string{"a", "b"}, "ab", false},
		{"a new file", fresh, []string{"a", "b"}, "ab", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := openOutput(c.path)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range c.writes {
				if _, err := o.Write([]byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(c.path)
			if os.IsNotExist(err) != c.gone || string(got) != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestOutputToDevice(t *testing.T) {
	o, err := openOutput(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Write([]byte("text")); err != nil {
		t.Error(err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(os.DevNull); err != nil {
		t.Fatal(err)
	}
}
