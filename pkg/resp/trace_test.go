package resp

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnnotate(t *testing.T) {
	for in, want := range map[string][]string{
		"":                             nil,
		"*1\r\n$4\r\nPING\r\n":         {`l "*1\r\n"                   array of 1`, `l "$4\r\nPING\r\n"           bulk string of 4 bytes`},
		"+OK\r\n:1\r\n":                {`l "+OK\r\n"                  simple string`, `l ":1\r\n"                   integer`},
		"$-1\r\n*-1\r\n":               {`l "$-1\r\n"                  null`, `l "*-1\r\n"                  null`},
		"GET k\r\n":                    {`l "GET k\r\n"                a line`},
		"$5\r\nab":                     {`l "$5\r\nab"                 bulk string of 5 bytes, of which 2 have come`},
		"$99999999999999999999\r\nx\n": {`l "$99999999999999999999\r\n" bulk string of 99999999999999999999 bytes`, `l "x\n"                      a line`},
		"*1\r":                         {`l "*1\r"                     3 bytes`},
		"\x00\xff":                     {`l "\x00\xff"                 2 bytes`},
		"%1\r\n#t\r\n":                 {`l "%1\r\n"                   map of 1 pairs`, `l "#t\r\n"                   boolean`},
	} {
		var out bytes.Buffer
		Annotate(&out, "l", []byte(in))
		require.Equal(t, strings.Join(want, "\n"), strings.TrimSuffix(out.String(), "\n"), "%q", in)
	}
}

func TestTrace(t *testing.T) {
	var out bytes.Buffer
	a, b := net.Pipe()
	conn := Trace(a, &out, "#1")
	go func() {
		p := make([]byte, 100)
		n, _ := b.Read(p)
		b.Write(p[:n])
		b.Close()
	}()
	conn.Write([]byte("+hi\r\n"))
	conn.Read(make([]byte, 100))
	require.Equal(t, "#1 out  \"+hi\\r\\n\"                  simple string\n"+
		"#1 in   \"+hi\\r\\n\"                  simple string\n", out.String())
}
