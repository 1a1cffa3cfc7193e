//go:build unix

package server

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"byor/pkg/engine"
	"byor/pkg/redistest"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// Replicas that ask while no snapshot has begun share one: as many full resyncs, one walk, equal data, and
// each gets the stream behind it whole. Some of them that can take no stream make it a file for all.
func TestSharedSnapshot(t *testing.T) {
	for _, c := range []struct{ name, diskless, capa, target string }{
		{"by a file", "no", "eof", "disk"}, {"streamed", "yes", "eof", "replicas sockets"}, {"mixed", "yes", "psync2", "disk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log redistest.Buffer
			s, addr := startLogging(t, &log, "--repl-diskless-sync", c.diskless, "--repl-diskless-sync-delay", "3600", "--repl-diskless-sync-max-replicas", "5")
			client := dial(t, addr)
			fill(client, 0, 20)
			s.eng.Lock()
			hold := s.eng.BeginSnapshot(s.files.NewSink(false)) // something else is saved meanwhile, so that nobody is first
			s.eng.Unlock()
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
				wg.Go(func() { snapshots[i] = askForAll(t, addr, c.capa) })
			}
			awaitMembers(t, s, 5)
			require.Equal(t, 5, strings.Count(string(client.do("INFO replication").Str), "state=wait_bgsave,offset=0,lag=0"), "they are replicas already")
			require.Equal(t, "1", client.info("connected_clients"))
			s.eng.Lock()
			hold.End()
			s.eng.Unlock()
			wg.Wait()
			for i := range snapshots {
				require.Equal(t, snapshots[0], snapshots[i])
			}
			for _, r := range servers {
				eventually(t, r, "INFO replication", "master_link_status:up")
			}
			fill(client, 20, 3)
			for _, r := range servers {
				sameData(t, client, r)
			}
			require.Equal(t, "5", client.info("sync_full"))
			require.Equal(t, 1, strings.Count(log.String(), "Starting BGSAVE for SYNC with target: "), log.String())
			require.Contains(t, log.String(), "Starting BGSAVE for SYNC with target: "+c.target)
		})
	}
}

// awaitMembers waits until n replicas are in the round that is to come.
func awaitMembers(t testing.TB, s *Server, n int) {
	require.Eventually(t, func() bool {
		s.eng.Lock()
		defer s.eng.Unlock()
		return s.sync != nil && len(s.sync.members) == n
	}, time.Minute, 5*time.Millisecond)
}

// askForAll gets a snapshot as a replica, and returns it.
func askForAll(t testing.TB, addr, capa string) string {
	c := replicaConn(t, addr)
	c.send("REPLCONF", "capa", capa)
	require.Equal(t, "+OK", c.line())
	c.send("PSYNC", "?", "-1")
	require.Contains(t, c.line(), "+FULLRESYNC ")
	return c.snapshot(t)
}

// Who asks while a file is being written gets the same one, and the stream from where it began. One that is
// streamed takes up nobody.
func TestSnapshotTakesUpLatecomers(t *testing.T) {
	t.Parallel()
	var log redistest.Buffer
	s, addr := startLogging(t, &log, "--repl-diskless-sync", "no")
	c := dial(t, addr)
	c.want("DEBUG POPULATE 200000", "+OK")
	first := replicaConn(t, addr)
	first.send("PSYNC", "?", "-1")
	here, there := net.Pipe()
	late := &testReplica{testConn: over(t, there), br: bufio.NewReader(there)}
	require.Eventually(t, func() bool {
		s.eng.Lock()
		defer s.eng.Unlock()
		if s.syncing == nil {
			return false
		}
		s.eng.Effect(0, engine.ToReplicas, [][]byte{[]byte("SET"), []byte("between"), []byte("1")})
		s.eng.EndUnit()
		client := s.newClient(here)
		m := s.joinSync(&syncMember{c: client, r: s.master.NewReplica(here), id: "?"})
		require.Equal(t, s.syncing, m.round)
		require.Len(t, m.round.members, 2)
		require.True(t, s.files.Saving())
		go m.run()
		return true
	}, time.Minute, 20*time.Microsecond)
	answer := first.line()
	require.Contains(t, answer, "+FULLRESYNC ")
	require.Equal(t, answer, late.line())
	one, two := make(chan string), make(chan string)
	go func() { one <- first.snapshot(t) }()
	go func() { two <- late.snapshot(t) }()
	require.Equal(t, len(<-one), len(<-two))
	for _, r := range []*testReplica{first, late} {
		r.stream = resp.NewCommandReader(r.br)
		require.Equal(t, "SELECT 0", r.next())
		require.Equal(t, "SET between 1", r.next())
	}
	require.Equal(t, 1, strings.Count(log.String(), "Starting BGSAVE for SYNC"), log.String())
	left, err := filepath.Glob(filepath.Join(s.cfg.Dir, "temp-*"))
	require.NoError(t, err)
	require.Empty(t, left)
	there.Close()
	c.want("SAVE", "+OK")
}

// A streamed snapshot waits for those who come soon after the first.
func TestSnapshotWaitsForOthers(t *testing.T) {
	s, addr := startServer(t, "--repl-diskless-sync-delay", "3600")
	c := replicaConn(t, addr)
	c.send("REPLCONF", "capa", "eof")
	require.Equal(t, "+OK", c.line())
	c.send("PSYNC", "?", "-1")
	round := func() (due, there bool) {
		s.eng.Lock()
		defer s.eng.Unlock()
		r := s.sync
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
	t.Parallel()
	s, addr := startServer(t, "--repl-timeout", "1")
	c := dial(t, addr)
	for i := range 40 {
		c.want(fmt.Sprintf("SETRANGE big%d 999999 x", i), ":1000000")
	}
	c.want("CONFIG SET rdbcompression no", "+OK")
	s.eng.Lock()
	hold := s.eng.BeginSnapshot(s.files.NewSink(false))
	s.eng.Unlock()
	leaves, reads := replicaConn(t, addr), replicaConn(t, addr)
	for _, r := range []*testReplica{replicaConn(t, addr), leaves, reads} { // the first never reads
		r.send("REPLCONF", "capa", "eof")
		require.Equal(t, "+OK", r.line())
		r.send("PSYNC", "?", "-1")
	}
	awaitMembers(t, s, 3)
	leaves.Close()
	awaitMembers(t, s, 2)
	s.eng.Lock()
	hold.End()
	s.eng.Unlock()
	require.Contains(t, reads.line(), "+FULLRESYNC ")
	require.Greater(t, len(reads.snapshot(t)), 40_000_000)
}
