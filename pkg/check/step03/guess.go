package step03

import (
	"fmt"
	"strings"

	"byor/pkg/check"
	"byor/pkg/check/process"
)

// A mistake in step 03 is often told by what comes instead of the reply: silence, another reply, a crash. The
// functions here name the mistake by such signs. They return "" where there are none; then the check says in
// plain words what it expected.

// whyNot says why a command of the table is not answered as it should be.
func whyNot(t *check.T, name string, arity int, got string) string {
	switch {
	case strings.Contains(got, "wrong number of arguments"):
		return fmt.Sprintf("%s is refused although its arguments are right: its number in the table should be %d, since the name counts too, and a minus makes it a minimum", name, arity)
	case !check.Silent(got):
		return ""
	case t.AnswersOthers(t.Server()):
		return name + " wrote no reply, and others are answered: each way out of a handler appends one reply to c.w"
	}
	return "since this " + name + " nobody gets an answer: it waits for a lock that its own goroutine holds. Handlers lock nothing, " +
		"execute has done it (a second Lock waits for the first; RLock, then Lock does too)"
}

// lockedByError says that the lock was not given back when a command was refused.
func lockedByError(t *check.T, s *process.Server, got string) string {
	if !check.Silent(got) || t.AnswersOthers(s) {
		return ""
	}
	return "since a command was refused nobody gets an answer: that way out of execute leaves the lock locked. Lock behind the checks, or defer Unlock on the line below Lock"
}

// died says whether s ended with words.
func died(s *process.Server, words string) bool {
	s.LastWords()
	return strings.Contains(s.Output(), words)
}

// mapWithoutLock says that Go ended the process, because two goroutines used the map at once.
func mapWithoutLock(t *check.T) string {
	if died(t.Server(), "fatal error: concurrent map") {
		return "the map was touched without the lock, and Go ended the process: execute takes the lock before it runs the handler"
	}
	return ""
}
