package trace

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// maxLine is the longest line of a text form: a Megatron record of half a million
// tokens stays below it.
const maxLine = 64 << 20

var byteOrderMark = []byte("\ufeff")

// eachLine calls line for each line of a text without its end ("\n" or "\r\n") and
// without a byte-order mark, then end. An error is told with the number of its line;
// that of end with the number after the last.
func eachLine(r io.Reader, name string, line func([]byte) error, end func() error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	number := 0
	for lines.Scan() {
		number++
		text := lines.Bytes()
		if number == 1 {
			text = bytes.TrimPrefix(text, byteOrderMark)
		}
		if err := line(text); err != nil {
			return fmt.Errorf("trace: %s: line %d: %w", name, number, err)
		}
	}
	err := lines.Err()
	if err == nil {
		err = end()
	}
	if err != nil {
		return fmt.Errorf("trace: %s: line %d: %w", name, number+1, err)
	}
	return nil
}
