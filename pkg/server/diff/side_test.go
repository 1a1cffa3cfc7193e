package diff

import (
	"byor/pkg/redistest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// side is one of the two servers in a script, with the connections to it.
type side struct {
	addr  string
	proto string
	conns map[string]*redistest.Client
	ran   int // commandsRun before what is under way was sent
}

func (s *side) conn(t testing.TB, name string) *redistest.Client {
	c := s.conns[name]
	if c == nil {
		c = redistest.Connect(t, s.addr)
		c.Do("HELLO " + s.proto)
		s.conns[name] = c
	}
	return c
}

// with puts IDs of clients into a line.
func (s *side) with(t testing.TB, line string) string {
	return clientName.ReplaceAllStringFunc(line, func(name string) string {
		return strconv.FormatInt(s.conn(t, strings.Trim(name, "%")).Do("CLIENT ID").Int, 10)
	})
}

var clientName = regexp.MustCompile(`%\w+%`)

// close closes a connection and waits until the server has noticed.
func (s *side) close(t testing.TB, name string) {
	gone := "id=" + s.with(t, "%"+name+"%") + " "
	s.conn(t, name).Conn.Close()
	delete(s.conns, name)
	other := redistest.Connect(t, s.addr)
	require.Eventually(t, func() bool { return !strings.Contains(string(other.Do("CLIENT LIST").Str), gone) }, time.Minute, time.Millisecond)
}
