package rdb

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// redisServer is a real redis-server that has loaded a snapshot.
type redisServer struct {
	t    *testing.T
	conn net.Conn
	r    *resp.Reader
	dir  string
}

// startRedis runs a redis-server on the snapshot, or on nothing when that is nil.
func startRedis(t *testing.T, snapshot []byte, args ...string) *redisServer {
	dir := t.TempDir()
	if snapshot != nil {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "dump.rdb"), snapshot, 0o644))
	}
	c := redistest.Dial(t, redistest.StartSocket(t, append([]string{"--dir", dir, "--enable-debug-command", "yes", "--sanitize-dump-payload", "yes"}, args...)...))
	return &redisServer{t: t, dir: dir, conn: c, r: c.R}
}

// do sends a command and returns the reply with arrays flattened and everything as strings.
func (s *redisServer) do(args ...string) string {
	return strings.Join(s.list(args...), " ")
}

func (s *redisServer) list(args ...string) []string {
	_, err := s.conn.Write(resp.AppendCommandStrings(nil, args...))
	require.NoError(s.t, err)
	v, err := s.r.ReadValue()
	require.NoError(s.t, err)
	return flatten(nil, v)
}

func flatten(dst []string, v resp.Value) []string {
	switch {
	case v.Null:
		return append(dst, "(nil)")
	case v.Kind == resp.Array:
		dst = append(dst, fmt.Sprintf("[%d", len(v.Elems)))
		for _, e := range v.Elems {
			dst = flatten(dst, e)
		}
		return append(dst, "]")
	case v.Kind == resp.Integer:
		return append(dst, strconv.FormatInt(v.Int, 10))
	}
	return append(dst, string(v.Str))
}

// state describes the whole data set: what DEBUG DIGEST covers, and what it does not (expiry times,
// encodings, groups and counters of streams).
func (s *redisServer) state() map[string]string {
	state := map[string]string{"digest": s.do("DEBUG", "DIGEST"), "functions": s.do("FUNCTION", "LIST", "WITHCODE")}
	for db := range 16 {
		s.do("SELECT", strconv.Itoa(db))
		for _, key := range s.list("KEYS", "*")[1:] {
			if key == "]" {
				continue
			}
			name := fmt.Sprintf("db %d key %s", db, key)
			typ := s.do("TYPE", key)
			state[name] = strings.Join([]string{typ, s.do("OBJECT", "ENCODING", key), s.do("PEXPIRETIME", key)}, " ")
			if typ == "stream" {
				state[name] += s.do("XINFO", "STREAM", key, "FULL", "COUNT", "0")
			}
		}
	}
	return state
}

// checkRDB runs redis-check-rdb on a snapshot.
func checkRDB(t *testing.T, snapshot []byte) {
	redistest.Need(t, "redis-check-rdb")
	path := filepath.Join(t.TempDir(), "dump.rdb")
	require.NoError(t, os.WriteFile(path, snapshot, 0o644))
	out, err := exec.Command("redis-check-rdb", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func readFile(dir string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, "dump.rdb")) }
