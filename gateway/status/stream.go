package status

import "net/http"

// stream sends each piece of an answer at once.
type stream struct {
	http.ResponseWriter
	flusher *http.ResponseController
	begun   bool
}

func (s *stream) Write(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.Header().Set("Content-Type", "application/vnd.tcpdump.pcap")
	}
	n, err := s.ResponseWriter.Write(b)
	if err == nil {
		err = s.flusher.Flush()
	}
	return n, err
}
