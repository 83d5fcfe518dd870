package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// appender is a file of JSON lines that grows line by line, each whole or not at all.
type appender struct {
	file *os.File
	size int64 // of whole lines
}

// openAppender opens a file and cuts off what is behind its last whole line, and the
// lines from the first that keep refuses on; a nil keep refuses none.
func openAppender(path string, keep func(line []byte) bool) (*appender, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	a := &appender{file: file}
	text, err := io.ReadAll(file)
	if err == nil {
		a.size = whole(text, keep)
		err = a.cut()
	}
	if err != nil {
		return nil, fmt.Errorf("sweep: %s: %w", path, errors.Join(err, file.Close()))
	}
	return a, nil
}

// whole is the length of the lines to keep.
func whole(text []byte, keep func(line []byte) bool) int64 {
	var size int64
	for line := range bytes.Lines(text) {
		if line[len(line)-1] != '\n' || keep != nil && !keep(line) {
			break
		}
		size += int64(len(line))
	}
	return size
}

// content reads the whole lines.
func (a *appender) content() io.Reader { return io.NewSectionReader(a.file, 0, a.size) }

// add writes one line and waits until it is on the disk. A line that does not fit is
// taken back, so that what was there stays intact.
func (a *appender) add(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("sweep: %s: %w", a.file.Name(), err)
	}
	line = append(line, '\n')
	if _, err := a.file.WriteAt(line, a.size); err != nil {
		return fmt.Errorf("sweep: write a row: %w", errors.Join(err, a.cut()))
	}
	if err := a.file.Sync(); err != nil {
		return fmt.Errorf("sweep: write a row: %w", errors.Join(err, a.cut()))
	}
	a.size += int64(len(line))
	return nil
}

func (a *appender) cut() error { return a.file.Truncate(a.size) }
