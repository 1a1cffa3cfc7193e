package server

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"byor/pkg/engine"
	"byor/pkg/persist"
	"byor/pkg/rdb"
	"byor/pkg/resp"
	"byor/pkg/store"

	"github.com/stretchr/testify/require"
)

// While the snapshot is taken, clients change, delete, expire and flush. What is in the file is
// the data of the moment when BGSAVE was executed.
func TestBgsaveIsOfOneMoment(t *testing.T) {
	dir := t.TempDir()
	s, addr := startServer(t, "--dir", dir)
	c := dial(t, addr)
	keys, batch, replies := momentKeys()
	for round := range 3 {
		go func() { _, _ = c.conn.Write(batch) }()
		for range replies {
			if v := c.read(); v.IsError() {
				t.Log(string(v.Str))
			}
		}
		require.Equal(t, int64(len(keys)), c.do("DBSIZE").Int)
		stop := disturbers(t, addr, keys, round)
		s.eng.Lock()
		now := s.eng.Store.Digest().String()
		model := digests(s.eng.Store)
		s.files.StartSave()
		var info strings.Builder
		s.files.Info(&info)
		total := 0
		for i := range s.eng.Store.Len() {
			total += s.eng.Store.DB(i).Len()
		}
		s.eng.Unlock()
		waitFor(t, c, "rdb_bgsave_in_progress", "0")
		stop()
		require.Contains(t, info.String(), fmt.Sprintf("current_save_keys_total:%d\r\n", total))
		require.Equal(t, "ok", c.info("rdb_last_bgsave_status"))
		require.NotEqual(t, now, string(c.do("DEBUG DIGEST").Str), "the writers have written")

		f, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
		require.NoError(t, err)
		st := store.New(16)
		st.Expiry = store.KeepExpired
		_, err = rdb.Load(bytes.NewReader(f), st)
		require.NoError(t, err)
		require.Equal(t, model, digests(st))
		require.Equal(t, now, st.Digest().String())
	}
}

// momentKeys returns keys of all kinds, small and large, the commands that make them, and how many replies those get.
func momentKeys() (keys []string, batch []byte, replies int) {
	batch = resp.AppendCommandStrings(nil, "FLUSHALL")
	for i := range 20_000 {
		k := fmt.Sprintf("key:%d", i)
		keys = append(keys, k)
		switch i % 4 {
		case 0:
			batch = resp.AppendCommandStrings(batch, "SET", k, "value")
		case 1:
			batch = resp.AppendCommandStrings(batch, "RPUSH", k, "a", "b")
		case 2:
			batch = resp.AppendCommandStrings(batch, "HSET", k, "f", "v")
		case 3:
			batch = resp.AppendCommandStrings(batch, "SET", k, "v", "PX", "100000000")
		}
	}
	for i := range 9000 {
		batch = resp.AppendCommandStrings(batch, "HSET", bigKeys[0], itoa(i), "value")
		batch = resp.AppendCommandStrings(batch, "SADD", bigKeys[1], "m"+itoa(i))
		batch = resp.AppendCommandStrings(batch, "ZADD", bigKeys[2], itoa(i%100), itoa(i))
	}
	return append(keys, bigKeys...), batch, len(keys) + 1 + 3*9000
}

// disturbers lets four clients change the keys until stop is called.
func disturbers(t *testing.T, addr string, keys []string, round int) (stop func()) {
	over := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		wc := dial(t, addr)
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(round), uint64(w)))
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				wc.disturb(r, keys, n)
			}
		})
	}
	return func() {
		close(over)
		writers.Wait()
	}
}

// digests returns the digest of each entry.
func digests(s *store.Store) map[string]string {
	m := map[string]string{}
	for i := range s.Len() {
		s.DB(i).Each(func(e *store.Entry) bool {
			m[fmt.Sprint(i, " ", e.Key())] = fmt.Sprint(s.DB(i).ValueDigest(e), s.DB(i).ExpireAt(e), e.Value().Type())
			return true
		})
	}
	return m
}

// disturb changes something.
func (c *testConn) disturb(r *rand.Rand, keys []string, n int) {
	k := keys[r.IntN(len(keys))]
	m := itoa(r.IntN(9000))
	switch r.IntN(14) {
	case 8:
		c.send("HSET", bigKeys[0], m, "changed")
	case 9:
		c.send("HDEL", bigKeys[0], m)
	case 10:
		c.send("SREM", bigKeys[1], "m"+m)
	case 11:
		c.send("SADD", bigKeys[1], "new"+m)
	case 12:
		c.send("ZINCRBY", bigKeys[2], "-3", m)
	case 13:
		c.send("ZPOPMAX", bigKeys[2])
	case 0:
		c.send("DEL", k)
	case 1:
		c.send("SET", k, "changed")
	case 2:
		c.send("APPEND", k, "x")
	case 3:
		c.send("RPUSH", k, "x")
	case 4:
		c.send("HSET", k, "g", "x")
	case 5:
		c.send("PEXPIRE", k, "1")
	case 6:
		c.send("SET", "new:"+k, "x")
	case 7:
		if n > 200 && r.IntN(100) == 0 {
			c.send("FLUSHDB") // FLUSHALL would call the save off
		} else {
			c.send("PERSIST", k)
		}
	}
	c.read()
}

// failingSink is a disk that is full after a while.
type failingSink struct {
	*persist.Sink
	flushes int
}

func (k *failingSink) Flush() error {
	if k.flushes--; k.flushes < 0 {
		return errDiskFull
	}
	return k.Sink.Flush()
}

// A snapshot that fails or is cancelled half-way leaves nothing behind, and the next one works.
func TestSnapshotFails(t *testing.T) {
	s, addr := startServer(t)
	c := dial(t, addr)
	for i := range 5000 {
		c.send("SET", fmt.Sprint("key:", i), strings.Repeat("x", 200))
		c.read()
	}
	begin := func(flushes int) *engine.Snapshot {
		s.eng.Lock()
		defer s.eng.Unlock()
		sink := &failingSink{s.files.NewSink(false), flushes}
		sink.Open(io.Discard)
		return s.eng.BeginSnapshot(sink)
	}
	sn := begin(1)
	require.ErrorIs(t, sn.Run(), errDiskFull)
	s.eng.Lock()
	sn.End()
	s.eng.Unlock()
	sn = begin(1000)
	s.eng.Lock()
	sn.Cancel()
	s.eng.Unlock()
	require.ErrorIs(t, sn.Run(), engine.ErrCancelled)
	sn = begin(1000)
	require.NoError(t, sn.Run())
	require.Equal(t, 5000, sn.Done)
	s.eng.Lock()
	sn.End()
	s.eng.Unlock()
}
