package sweep

import (
	"os"
	"strconv"
	"strings"
)

// counter is a number that the kernel keeps under a name in a file of lines "name
// number"; 0 where there is none.
func counter(path, name string) int64 {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}
