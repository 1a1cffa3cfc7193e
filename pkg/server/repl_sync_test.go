//go:build unix

package server

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// Replicas that ask while no snapshot has begun share one: as many full resyncs, one walk, equal data, and
// each gets the stream behind it whole.
func TestSharedSnapshot(t *testing.T) {
	for _, diskless := range []string{"no", "yes"} {
		t.Run("repl-diskless-sync "+diskless, func(t *testing.T) {
			var log lockedBuffer
			s, addr := startServer(t, "--repl-diskless-sync", diskless, "--repl-diskless-sync-delay", "3600", "--repl-diskless-sync-max-replicas", "1")
			s.log.w = &log
			c := dial(t, addr)
			fill(c, 0, 20)
			s.lock()
			hold := s.beginSnapshot(s.newRDBSink(false)) // something else is saved meanwhile, so that nobody is first
			s.unlock()
			var servers []*testConn
			for range 2 {
				_, rAddr := startServer(t, "--replicaof", hostPort(addr))
				servers = append(servers, dial(t, rAddr))
			}
			if redistest.Has("redis-server") {
				servers = append(servers, dial(t, startRedis(t, "--replicaof", hostPort(addr))))
			}
			snapshots := make([]string, 5-len(servers))
			var wg sync.WaitGroup
			for i := range snapshots {
				wg.Go(func() { snapshots[i] = askForAll(t, addr) })
			}
			require.Eventually(t, func() bool {
				s.lock()
				defer s.unlock()
				n := 0
				for _, round := range s.syncs {
					if round != nil {
						n += len(round.members)
					}
				}
				return n == 5
			}, time.Minute, 5*time.Millisecond)
			s.lock()
			hold.end()
			s.unlock()
			wg.Wait()
			for i := range snapshots {
				require.Equal(t, snapshots[0], snapshots[i])
			}
			for _, r := range servers {
				eventually(t, r, "INFO replication", "master_link_status:up")
			}
			fill(c, 20, 3)
			for _, r := range servers {
				sameData(t, c, r)
			}
			require.Equal(t, "5", c.info("sync_full"))
			rounds := map[string]int{"no": 1, "yes": 2}[diskless] // two kinds asked: some cannot take a stream
			require.Equal(t, rounds, strings.Count(log.String(), "Starting a snapshot for"), log.String())
		})
	}
}

// askForAll gets a snapshot as a replica that can take no stream, and returns it.
func askForAll(t testing.TB, addr string) string {
	c := replicaConn(t, addr)
	c.send("PSYNC", "?", "-1")
	require.Contains(t, c.line(), "+FULLRESYNC ")
	n, err := strconv.Atoi(strings.TrimPrefix(c.line(), "$"))
	require.NoError(t, err)
	b := make([]byte, n)
	_, err = io.ReadFull(c.br, b)
	require.NoError(t, err)
	return string(b)
}

// A streamed snapshot waits for those who come soon after the first.
func TestSnapshotWaitsForOthers(t *testing.T) {
	s, addr := startServer(t, "--repl-diskless-sync-delay", "3600")
	c := replicaConn(t, addr)
	c.send("REPLCONF", "capa", "eof")
	require.Equal(t, "+OK", c.line())
	c.send("PSYNC", "?", "-1")
	round := func() (due, there bool) {
		s.lock()
		defer s.unlock()
		r := s.syncs[1]
		return r != nil && s.syncIsDue(r), r != nil && len(r.members) == 1
	}
	require.Eventually(t, func() bool { _, there := round(); return there }, time.Minute, 5*time.Millisecond)
	due, _ := round()
	require.False(t, due)
	dial(t, addr).want("CONFIG SET repl-diskless-sync-delay 0", "+OK")
	require.Contains(t, c.line(), "+FULLRESYNC ")
	require.Contains(t, c.line(), "$EOF:")
}

// One that leaves while it waits is forgotten; one that stops reading holds up the others no longer than its
// time-out.
func TestSharedSnapshotWithoutOne(t *testing.T) {
	s, addr := startServer(t, "--repl-timeout", "1")
	c := dial(t, addr)
	for i := range 40 {
		c.want(fmt.Sprintf("SETRANGE big%d 999999 x", i), ":1000000")
	}
	c.want("CONFIG SET rdbcompression no", "+OK")
	s.lock()
	hold := s.beginSnapshot(s.newRDBSink(false))
	s.unlock()
	leaves, reads := replicaConn(t, addr), replicaConn(t, addr)
	for _, r := range []*testReplica{replicaConn(t, addr), leaves, reads} { // the first never reads
		r.send("REPLCONF", "capa", "eof")
		require.Equal(t, "+OK", r.line())
		r.send("PSYNC", "?", "-1")
	}
	waiting := func(n int) {
		require.Eventually(t, func() bool {
			s.lock()
			defer s.unlock()
			return s.syncs[1] != nil && len(s.syncs[1].members) == n
		}, time.Minute, 5*time.Millisecond)
	}
	waiting(3)
	leaves.Close()
	waiting(2)
	s.lock()
	hold.end()
	s.unlock()
	require.Contains(t, reads.line(), "+FULLRESYNC ")
	mark := strings.TrimPrefix(reads.line(), "$EOF:")
	got := make([]byte, 0, 41<<20)
	for buf := make([]byte, 1<<20); !strings.HasSuffix(string(got[max(0, len(got)-40):]), mark); {
		n, err := reads.br.Read(buf)
		require.NoError(t, err)
		got = append(got, buf[:n]...)
	}
	require.Greater(t, len(got), 40_000_000)
}
