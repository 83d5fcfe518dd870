package main

import (
	"errors"
	"io"
	"os"

	"github.com/urfave/cli/v2"
)

// openOutputs opens the files that a run writes besides its rows, so that a path that
// cannot be written is found before the run and not after it.
func openOutputs(c *cli.Context, events, traceOut *io.Writer) (files openFiles, err error) {
	for _, o := range []struct {
		flag string
		to   *io.Writer
	}{{"events", events}, {"trace-out", traceOut}} {
		if !c.IsSet(o.flag) {
			continue
		}
		f, err := openOutput(c.String(o.flag))
		if err != nil {
			return files, flagError(o.flag, err)
		}
		for _, other := range files {
			if f.same(other.(*output)) {
				return append(files, f), usagef("--events and --trace-out: both are %s", c.String(o.flag))
			}
		}
		files = append(files, f)
		*o.to = f
	}
	return files, nil
}

// output is a file that keeps what it had until something is written: a run that fails
// before that loses nothing.
type output struct {
	file    *os.File
	isNew   bool
	written bool
}

func openOutput(path string) (*output, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		return &output{file: f, isNew: true}, nil
	}
	if !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if f, err = os.OpenFile(path, os.O_WRONLY, 0); err != nil {
		return nil, err
	}
	return &output{file: f}, nil
}

// same tells whether two outputs would overwrite each other.
func (o *output) same(other *output) bool {
	a, err := o.file.Stat()
	b, err2 := other.file.Stat()
	return errors.Join(err, err2) == nil && a.Mode().IsRegular() && os.SameFile(a, b)
}

// Write replaces what the file had.
func (o *output) Write(p []byte) (int, error) {
	if !o.written && !o.isNew {
		if err := o.empty(); err != nil {
			return 0, err
		}
	}
	o.written = true
	return o.file.Write(p)
}

// empty cuts the file. What is no regular file (a pipe, /dev/null) needs no cutting.
func (o *output) empty() error {
	info, err := o.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	return o.file.Truncate(0)
}

// Close also takes away a new file that nothing was written to.
func (o *output) Close() error {
	err := o.file.Close()
	if o.isNew && !o.written {
		err = errors.Join(err, os.Remove(o.file.Name()))
	}
	return err
}
