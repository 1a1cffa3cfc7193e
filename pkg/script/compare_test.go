package script

import (
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"

	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// The files testdata/lua/*.lua hold scripts, one a line, or, where they are longer, each after a line "==== name".
// They run on Redis and here, one after the other in one state as in Redis, and must give the same reply: a value
// or an error, with its words.
func TestScriptsAsInRedis(t *testing.T) {
	files, err := filepath.Glob("testdata/lua/*.lua")
	require.NoError(t, err)
	redis := redistest.Dial(t, redistest.Start(t, t.TempDir()))
	n := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".lua"), func(t *testing.T) {
			s := newState()
			s.defineOpen("KEYS", s.L.NewTable())
			s.defineOpen("ARGV", s.L.NewTable())
			for name, script := range snippets(t, file) {
				_, err := redis.Write(resp.AppendCommandStrings(nil, "EVAL", script, "0"))
				require.NoError(t, err)
				want := redis.Reply()
				if got := eval(s, script); got != want {
					t.Errorf("%s: %s\nredis: %s\n here: %s", name, script, want, got)
				}
				n++
			}
			require.Equal(t, "OK", redis.Do("SCRIPT FLUSH")) // a state of its own for each file, there too
		})
	}
	t.Logf("%d scripts", n)
	require.GreaterOrEqual(t, n, 200)
}

func snippets(t *testing.T, file string) func(yield func(name, script string) bool) {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return func(yield func(name, script string) bool) {
		text := "\n" + string(b)
		if strings.Contains(text, "\n==== ") {
			for _, part := range strings.Split(text, "\n==== ")[1:] {
				name, script, _ := strings.Cut(part, "\n")
				if !yield(name, script) {
					return
				}
			}
			return
		}
		for i, line := range strings.Split(string(b), "\n") {
			if line != "" && !strings.HasPrefix(line, "-- ") && !yield(fmt.Sprint("line ", i+1), line) {
				return
			}
		}
	}
}

// eval runs a script and returns what EVAL would, as redistest.Text shows it.
func eval(s *state, script string) string {
	p, err := compile("user_script", script)
	if err != nil {
		return "-ERR Error compiling script (new function): " + err.Error()
	}
	v, failed := s.call(s.load(p), nil)
	if failed == nil {
		return reply(v)
	}
	text := "ERR " + toString(failed.Value)
	if t, ok := failed.Value.(*lua.LTable); ok {
		text = toString(t.RawGetString("err"))
	}
	return fmt.Sprintf("-%s script: %x, on %s:%d.", text, sha1.Sum([]byte(script)), failed.Source, failed.Line)
}

func reply(v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return fmt.Sprint(int64(v))
	case lua.LBool:
		if v {
			return "1"
		}
	case *lua.LTable:
		if e := v.RawGetString("err"); e != lua.LNil {
			return "-" + toString(e)
		}
		var words []string
		for i := 1; v.RawGetInt(i) != lua.LNil; i++ {
			words = append(words, reply(v.RawGetInt(i)))
		}
		return strings.Join(words, " ")
	}
	return "(nil)"
}
