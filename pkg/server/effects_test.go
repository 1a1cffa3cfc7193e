package server

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// effectScript changes collections in every way that has an effect of its own, and in ways that
// have none. In the lines of a block (">") the first command waits until the second serves it.
const effectScript = `
RPUSH l a b c d e f g h
LPUSHX none a
LPUSHX l z
LPOP l
LPOP l 2
LPOP l 0
RPOP l 99999
RPUSH l 1 2 3 4 5 6
LREM l 0 nothing
LREM l 1 6
LSET l 0 x
LINSERT l BEFORE x w
LINSERT l BEFORE nothing w
LTRIM l 0 -1
LTRIM l 1 -1
RPOPLPUSH l m
LMOVE l m LEFT RIGHT
LMPOP 2 none l LEFT COUNT 1
LMPOP 2 none l RIGHT COUNT 100
RPUSH l 1 2 3 4 5 6
BLPOP none l 0
BRPOP l 0
BLMOVE l m LEFT RIGHT 0
BRPOPLPUSH l m 0
BLMPOP 0 1 l LEFT COUNT 2
LRANGE m 0 -1
HSET h a 1 b 2
HSET h a 1
HSETNX h a 2
HSETNX h c 2
HMSET h d 1
HINCRBY h n 5
HINCRBYFLOAT h f 1.50
HINCRBYFLOAT h f 1e2
HDEL h zz
HDEL h a zz
SADD s 1 2 3
SADD s 1
SADD s 1 9
SREM s zz
SREM s 1 zz
SMOVE s t 2
SMOVE s t zz
SADD u only
SPOP u
SADD u only
SPOP u 1
SADD u a b
SPOP u 5
SPOP u
SINTERSTORE d s none
SUNIONSTORE d s t
SINTERSTORE d s none
SDIFFSTORE d s t
ZADD z 1 a 2 b 3 c 4 d 5 e
ZADD z 1 a
ZADD z NX 9 a
ZADD z XX CH 9 a
ZADD z GT 1 a
ZADD z INCR 5 a
ZINCRBY z 0 a
ZINCRBY z 2.5 a
ZREM z zz
ZREM z b
ZPOPMIN z
ZPOPMAX z 0
ZMPOP 2 none z MIN COUNT 1
ZADD z 1 a 2 b 3 c 4 d 5 e
BZPOPMIN none z 0
BZPOPMAX z 0
BZMPOP 0 1 z MAX COUNT 2
ZMPOP 1 z MIN COUNT 100
ZADD z 1 a 2 b 3 c 4 d 5 e
ZREMRANGEBYRANK z 10 20
ZREMRANGEBYRANK z 0 0
ZREMRANGEBYSCORE z 2 2
ZREMRANGEBYLEX z - +
ZADD z 1 a 2 b
ZUNIONSTORE zd 1 z
ZINTERSTORE zd 2 z none
ZINTERSTORE zd 2 z none
ZDIFFSTORE zd 1 z
ZRANGESTORE zd z 0 0
ZRANGESTORE zd z 5 6
ZRANGESTORE zd z 5 6
> BLPOP q1 q2 0
RPUSH q2 served
> BRPOP q2 0
LPUSH q2 a b c
> BLMOVE q3 q4 LEFT RIGHT 0
RPUSH q3 x y
> BRPOPLPUSH q5 q6 0
RPUSH q5 x
> BLMPOP 0 2 q7 q8 LEFT COUNT 5
RPUSH q8 x y
> BZPOPMIN q9 0
ZADD q9 1 a
> BZPOPMAX q9 0
ZADD q9 1 a 2 b
> BZMPOP 0 1 qa MIN COUNT 5
ZADD qa 1 a 2 b
DEL str
SET str x
> BLMOVE qb str LEFT LEFT 0
RPUSH qb x
`

// TestEffectsAsInRedis compares what the commands write to the append-only file, which is what
// replicas get, with what they write in real Redis.
func TestEffectsAsInRedis(t *testing.T) {
	options := func(dir string) []string {
		return []string{"--dir", dir, "--appendonly", "yes", "--appendfsync", "always"}
	}
	theirDir, ourDir := t.TempDir(), t.TempDir()
	redis := startRedis(t, options(theirDir)...)
	_, ours := startServer(t, options(ourDir)...)
	for _, addr := range []string{redis, ours} {
		s := &side{addr: addr, proto: "2", conns: map[string]*testConn{}}
		waiting := false
		for _, line := range strings.Split(strings.TrimSpace(effectScript), "\n") {
			if blocked, ok := strings.CutPrefix(line, "> "); ok {
				s.sendAndWait(t, "other", blocked, line)
				waiting = true
				continue
			}
			s.conn(t, "main").do("SET marker " + "\"" + line + "\"") // says in a failure where it was
			s.conn(t, "main").do(line)
			if waiting {
				s.conn(t, "other").read()
				waiting = false
			}
		}
	}
	require.Equal(t, logged(t, theirDir), logged(t, ourDir))
}

// logged returns the commands of the append-only file in dir, one a line.
func logged(t *testing.T, dir string) string {
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	rd := resp.NewCommandReader(bytes.NewReader(data))
	var out strings.Builder
	for {
		args, err := rd.ReadCommand()
		if err == io.EOF {
			return out.String()
		}
		require.NoError(t, err)
		out.Write(bytes.Join(args, []byte(" ")))
		out.WriteByte('\n')
	}
}
