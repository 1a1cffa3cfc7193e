package check

import (
	"io"
	"strings"
	"time"

	"byor/pkg/check/process"
)

// Explained runs f. If an expectation in f fails, guess looks at what came, as the report shows it.
func Explained(f func(), guess func(got string) string) {
	defer func() {
		p := recover()
		if fail, ok := p.(Failure); ok {
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

// Silent says that no reply came, although the connection is open.
func Silent(got string) bool {
	return strings.HasPrefix(got, "nothing in ") || strings.Contains(got, "then nothing more in ")
}

// Closed says that the connection ended where a reply should have come.
func Closed(got string) bool { return strings.Contains(got, "the server closed the connection") }

// AnswersOthers says whether a new client of s gets an answer.
func (t *T) AnswersOthers(s *process.Server) bool {
	c, err := t.TryDial(s)
	if err != nil {
		return false
	}
	c.Net.SetDeadline(t.Deadline(min(t.Limit, time.Second)))
	if _, err := io.WriteString(c.Net, "ping\r\n"); err != nil {
		return false
	}
	_, err = c.Net.Read(make([]byte, 1))
	return err == nil
}
