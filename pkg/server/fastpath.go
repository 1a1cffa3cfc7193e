package server

import (
	"fmt"
	"strings"
)

// The parts of the fast path that can be left out, to see what each of them brings. They change how long a command
// takes, and nothing else: a test runs the same script with and without them.

// Plain says what is left out. Nothing is in the zero value.
type Plain struct {
	Clock bool // two clocks are read before each command and two behind it, see engine/clock.go
	Touch bool // a batch is executed without touching its keys first, see engine/touch.go
	Wait  bool // a loop that waits gives its processor back at once, see transport_wait_linux.go
}

// ParsePlain reads what is left out from text like "touch=no,wait=no". A part that is not named is not left out.
func ParsePlain(text string) (p Plain, err error) {
	parts := map[string]*bool{"clock": &p.Clock, "touch": &p.Touch, "wait": &p.Wait}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, value, _ := strings.Cut(word, "=")
		part := parts[name]
		if part == nil || value != "yes" && value != "no" {
			return Plain{}, fmt.Errorf("%q is not one of clock, touch and wait with =yes or =no", word)
		}
		*part = value == "no"
	}
	return p, nil
}
