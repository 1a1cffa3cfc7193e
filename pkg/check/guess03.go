package check

import (
	"fmt"
	"io"
	"strings"
	"time"

	"byor/pkg/check/process"
)

// A mistake in step 03 is often told by what comes instead of the reply: silence, another reply, a crash. The
// functions here name the mistake by such signs. They return "" where there are none; then the check says in
// plain words what it expected.

// explained runs f. If an expectation in f fails, guess looks at what came, as the report shows it.
func explained(f func(), guess func(got string) string) {
	defer func() {
		p := recover()
		if fail, ok := p.(failure); ok {
			if hint := guess(fail.Got); hint != "" {
				fail.Hint, fail.Seen = hint, true
			}
			p = fail
		}
		if p != nil {
			panic(p)
		}
	}()
	f()
}

// silent says that no reply came, although the connection is open.
func silent(got string) bool {
	return strings.HasPrefix(got, "nothing in ") || strings.Contains(got, "then nothing more in ")
}

// closed says that the connection ended where a reply should have come.
func closed(got string) bool { return strings.Contains(got, "the server closed the connection") }

// answersOthers says whether a new client of s gets an answer.
func (t *T) answersOthers(s *process.Server) bool {
	c, err := t.TryDial(s)
	if err != nil {
		return false
	}
	c.c.SetDeadline(t.deadline(min(t.limit, time.Second)))
	if _, err := io.WriteString(c.c, "ping\r\n"); err != nil {
		return false
	}
	_, err = c.c.Read(make([]byte, 1))
	return err == nil
}

// whyNot says why a command of the table is not answered as it should be.
func (t *T) whyNot(name string, arity int, got string) string {
	switch {
	case strings.Contains(got, "wrong number of arguments"):
		return fmt.Sprintf("%s is refused although its arguments are right: its number in the table should be %d, since the name counts too, and a minus makes it a minimum", name, arity)
	case !silent(got):
		return ""
	case t.answersOthers(t.Server()):
		return name + " wrote no reply, and others are answered: each way out of a handler appends one reply to c.w"
	}
	return "since this " + name + " nobody gets an answer: it waits for a lock that its own goroutine holds. Handlers lock nothing, " +
		"execute has done it (a second Lock waits for the first; RLock, then Lock does too)"
}

// lockedByError says that the lock was not given back when a command was refused.
func (t *T) lockedByError(s *process.Server, got string) string {
	if !silent(got) || t.answersOthers(s) {
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
func (t *T) mapWithoutLock(string) string {
	if died(t.Server(), "fatal error: concurrent map") {
		return "the map was touched without the lock, and Go ended the process: execute takes the lock before it runs the handler"
	}
	return ""
}
