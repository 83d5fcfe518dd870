package generate

import "strings"

// stopper ends a text at the first of several strings. It holds back what may be the
// start of one.
type stopper struct {
	stops []string
	held  string
}

// write takes the next piece and returns what is surely text, up to the stop if one is
// complete.
func (s *stopper) write(piece string) (text string, stopped bool) {
	s.held += piece
	first := -1
	for _, stop := range s.stops {
		if i := strings.Index(s.held, stop); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first >= 0 {
		text, s.held = s.held[:first], ""
		return text, true
	}
	n := len(s.held) - s.pending()
	text, s.held = s.held[:n], s.held[n:]
	return text, false
}

// pending is the length of the longest end of held that starts a stop.
func (s *stopper) pending() int {
	longest := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(s.held)); n > longest; n-- {
			if strings.HasSuffix(s.held, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// close returns what was held back.
func (s *stopper) close() string {
	text := s.held
	s.held = ""
	return text
}
