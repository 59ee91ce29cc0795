package modbus

import goburrow "github.com/goburrow/modbus"

// framing is how requests and answers lie in a stream of bytes.
type framing interface {
	goburrow.Packager
	// ask sets the unit that the next request is for.
	ask(unit uint8)
	// find looks in b, what has arrived since the request was sent, for the answer
	// to it, or the exception. Before this request, earlier ones were sent on the
	// same connection.
	find(request []byte, want *reply, earlier int, b []byte) found
	// follows reports whether b, which came right after the answer, leaves the
	// stream in order.
	follows(request []byte, earlier int, b []byte) bool
}

// found is what has arrived so far.
type found struct {
	answer []byte // a whole frame; none while more bytes are needed
	after  int    // bytes behind it, on a line
	drop   int    // bytes at the start that belong to earlier requests
	begun  bool   // something that looks like the answer's start is there
	broken bool   // its checksum is wrong
	wrong  error  // what arrived can't become the answer, nor what comes after it
}
