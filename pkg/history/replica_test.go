package history_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"byor/pkg/redistest"
	"byor/pkg/redistest/port"

	"github.com/stretchr/testify/require"
)

func hostPort(addr string) string { return strings.Replace(addr, ":", " ", 1) }

// synced waits until a replica has all that its master has sent, and requires that the data are the same.
func synced(t testing.TB, master, replica client) {
	t.Helper()
	replica.Becomes("master_link_status", "up")
	offset := func(c client, field string) int64 {
		n, err := strconv.ParseInt(c.Info(field), 10, 64)
		require.NoError(t, err)
		return n
	}
	sent := offset(master, "master_repl_offset")
	require.Eventually(t, func() bool { return offset(replica, "slave_repl_offset") >= sent }, time.Minute, time.Millisecond)
	require.Equal(t, redistest.Show(master.Do("DEBUG DIGEST")), redistest.Show(replica.Do("DEBUG DIGEST")))
}

// A real Redis that follows us has the streams, entry by entry, and its subscribers the messages.
func TestRealReplica(t *testing.T) {
	_, addr := start(t, nil, "room:*=3 aged=5,1h")
	theirs := redistest.Start(t, t.TempDir(), "--replicaof", hostPort(addr), "--enable-debug-command", "yes", "--notify-keyspace-events", "")
	master, replica, sub := dial(t, addr), dial(t, theirs), dial(t, theirs)
	replica.Becomes("master_link_status", "up")
	sub.asks("SUBSCRIBE room:1 aged", `*["subscribe" "room:1" :1]`, `*["subscribe" "aged" :2]`)
	master.publish("room:1", "a", "b", "c", "d", "e")
	master.Want("SELECT 3", "+OK")
	master.Want("MULTI", "+OK")
	master.Want("PUBLISH room:1 f", "+QUEUED")
	master.Want("SET k v", "+QUEUED")
	master.Want("PUBLISH aged g", "+QUEUED")
	master.Want("EXEC", "*[:0 +OK :0]")
	for _, p := range []string{"a", "b", "c", "d", "e", "f"} {
		sub.hears(fmt.Sprintf(`*["message" "room:1" %q]`, p))
	}
	sub.hears(`*["message" "aged" "g"]`)
	synced(t, master, replica)
	master.Want("SELECT 0", "+OK")
	for _, ask := range []string{"XRANGE history:room:1 - +", "XINFO STREAM history:room:1", "XRANGE history:aged - +", "PEXPIRETIME history:aged", "KEYS history:room*"} {
		ours, real := redistest.Show(master.Do(ask)), redistest.Show(replica.Do(ask))
		require.Equal(t, strings.ReplaceAll(ours, "%", "*"), strings.ReplaceAll(real, "%", "*"), ask)
	}
	master.Want("XLEN history:room:1", ":4")
	require.Equal(t, "0", replica.Info("unexpected_error_replies"))
}

// A replica of ours has the master's entries, and its subscribers hear their IDs.
func TestOurReplica(t *testing.T) {
	_, addr := start(t, nil, "room:*=3")
	_, copied := start(t, nil, "room:*=3", "--replicaof", hostPort(addr))
	_, plain := start(t, nil, "", "--replicaof", hostPort(copied)) // a replica of the replica, without rules
	master, replica, third := dial(t, addr), dial(t, copied), dial(t, plain)
	replica.Becomes("master_link_status", "up")
	third.Becomes("master_link_status", "up")
	sub := dial(t, copied)
	sub.Send("HISTORY.SUBSCRIBE", "room:1", "LAST", "5")
	mark := string(sub.Read().Elems[4].Str)
	master.Want("MULTI", "+OK")
	for _, p := range []string{"a", "a", "b"} {
		master.Want("PUBLISH room:1 "+p, "+QUEUED")
	}
	master.Want("EXEC", "*[:0 :0 :0]")
	ids := func(c client) (ids []string) {
		for _, e := range c.Do("XRANGE history:room:1 - +").Elems {
			ids = append(ids, string(e.Elems[0].Str))
		}
		return ids
	}
	kept := ids(master)
	require.Len(t, kept, 3)
	for i, p := range []string{"a", "a", "b"} {
		sub.hears(message("room:1", p, kept[i]))
	}
	synced(t, master, replica)
	synced(t, replica, third)
	require.Equal(t, kept, ids(replica))
	require.Equal(t, "0", replica.Info("history_local_channels"))
	again := dial(t, copied)
	again.asks("HISTORY.SUBSCRIBE room:1 SINCE "+kept[0], confirmed("room:1", 1, 1, kept[2]), message("room:1", "a", kept[1]), message("room:1", "b", kept[2]))
	atMark := dial(t, copied)
	atMark.Send("HISTORY.SUBSCRIBE", "room:1", "SINCE", mark)
	require.EqualValues(t, 1, atMark.Read().Elems[3].Int)
	require.Equal(t, []string{"a", "a", "b"}, atMark.payloads())

	// What a client of the replica publishes reaches those who are there, without a place in the master's history.
	replica.publish("room:1", "only here")
	sub.hears(`*["message" "room:1" "only here"]`)
	synced(t, master, replica)

	// The replica becomes the master, and the history goes on.
	replica.Want("REPLICAOF NO ONE", "+OK")
	replica.publish("room:1", "c")
	sub.Send("PING")
	v := sub.Read()
	require.Equal(t, "c", string(v.Elems[2].Str))
	dial(t, copied).asks("HISTORY.SUBSCRIBE room:1 SINCE "+kept[2], confirmed("room:1", 1, 1, string(v.Elems[3].Str)), message("room:1", "c", string(v.Elems[3].Str)))
}

// A real master knows nothing of histories. Its messages are kept by our replica, beside the data.
func TestRealMaster(t *testing.T) {
	redistest.Need(t, "redis-server")
	theirs := redistest.Start(t, t.TempDir(), "--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0")
	_, ours := start(t, nil, "room:*=3", "--replicaof", hostPort(theirs))
	master, replica := dial(t, theirs), dial(t, ours)
	replica.Becomes("master_link_status", "up")
	early := dial(t, ours)
	early.Send("HISTORY.SUBSCRIBE", "room:1", "LAST", "5")
	v := early.Read()
	require.EqualValues(t, 1, v.Elems[3].Int)
	mark := string(v.Elems[4].Str)
	var ids []string
	hear := func(payload string) {
		t.Helper()
		v := early.Read()
		require.Len(t, v.Elems, 4)
		require.Equal(t, payload, string(v.Elems[2].Str))
		ids = append(ids, string(v.Elems[3].Str))
	}
	master.publish("room:1", "a", "b")
	master.Want("EVAL \"return redis.call('PUBLISH', 'room:1', 'c')\" 0", ":0")
	for _, p := range []string{"a", "b", "c"} {
		hear(p)
	}
	fromMark := dial(t, ours)
	fromMark.Send("HISTORY.SUBSCRIBE", "room:1", "SINCE", mark)
	require.EqualValues(t, 1, fromMark.Read().Elems[3].Int)
	require.Equal(t, []string{"a", "b", "c"}, fromMark.payloads())
	master.publish("room:1", "d", "e")
	hear("d")
	hear("e")
	dial(t, ours).asks("HISTORY.SUBSCRIBE room:1 SINCE "+ids[3], confirmed("room:1", 1, 1, ids[4]), message("room:1", "e", ids[4]))
	dial(t, ours).asks("HISTORY.SUBSCRIBE room:1 SINCE "+ids[1], confirmed("room:1", 1, 1, ids[4]), message("room:1", "c", ids[2]), message("room:1", "d", ids[3]), message("room:1", "e", ids[4]))
	dial(t, ours).asks("HISTORY.SUBSCRIBE room:1 SINCE "+ids[0], confirmed("room:1", 1, 0, ids[4]), message("room:1", "b", ids[1]), message("room:1", "c", ids[2]), message("room:1", "d", ids[3]), message("room:1", "e", ids[4]))
	for _, since := range []string{mark, "0-0"} {
		c := dial(t, ours)
		c.Send("HISTORY.SUBSCRIBE", "room:1", "SINCE", since)
		require.EqualValues(t, 0, c.Read().Elems[3].Int, since)
	}
	synced(t, master, replica)
	replica.Want("DBSIZE", ":0")
	replica.publish("room:1", "by the replica's own client") // it may: this history is the replica's own
	hear("by the replica's own client")

	afterRealMaster(t, master, replica, ours, ids[4], early, hear)
}

// afterRealMaster is the end of TestRealMaster: an application that keeps the history itself, and what ends the one beside
// the data.
func afterRealMaster(t *testing.T, master, replica client, ours, last string, early client, hear func(payload string)) {
	// An application that writes the stream itself, in the same transaction, has the history on the master.
	master.Want("MULTI", "+OK")
	master.Want("XADD history:room:2 5-5 data hello", "+QUEUED")
	master.Want("PUBLISH room:2 hello", "+QUEUED")
	master.Want("EXEC", `*["5-5" :0]`)
	synced(t, master, replica)
	dial(t, ours).asks("HISTORY.SUBSCRIBE room:2 LAST 1", confirmed("room:2", 1, 1, "5-5"), message("room:2", "hello", "5-5"))

	// FLUSHALL is for what is kept beside the data, too. Those who are there stay.
	master.Want("FLUSHALL", "+OK")
	synced(t, master, replica)
	flushed := dial(t, ours)
	flushed.Send("HISTORY.SUBSCRIBE", "room:1", "SINCE", last)
	v := flushed.Read()
	require.EqualValues(t, 0, v.Elems[3].Int)
	require.EqualValues(t, 0, v.Elems[5].Int)
	master.publish("room:1", "f")
	hear("f")

	// A new data set: nobody knows what was published meanwhile, so clients have to come back and hear that.
	master.Want("SET k v", "+OK")
	other := redistest.Start(t, t.TempDir(), "--repl-diskless-sync-delay", "0")
	replica.Want("REPLICAOF "+hostPort(other), "+OK")
	requireClosed(t, early)
	replica.Becomes("master_link_status", "up")
	c := dial(t, ours)
	c.Send("HISTORY.SUBSCRIBE", "room:1", "SINCE", last)
	require.EqualValues(t, 0, c.Read().Elems[3].Int)
	require.Equal(t, "0", replica.Info("history_local_bytes"))
}

func requireClosed(t testing.TB, c client) {
	t.Helper()
	c.Conn.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		if _, err := c.R.ReadValue(); err != nil {
			var timeout net.Error
			require.NotErrorAs(t, err, &timeout)
			return
		}
	}
}

// What was delivered with appendfsync always is there after kill -9, and clients go on from it; with a snapshot and a
// log, histories come back like all keys.
func TestKillAndRestart(t *testing.T) {
	bin := redistest.Program(t, "10-websocket-capstone")
	dir := t.TempDir()
	n, release, err := port.Reserve()
	require.NoError(t, err)
	defer release()
	addr := fmt.Sprint("127.0.0.1:", n)
	options := []string{"--port", fmt.Sprint(n), "--http-port", "0", "--enable-debug-command", "yes", "--dir", dir, "--save", "", "--appendonly", "yes",
		"--appendfsync", "always", "--history", "room:*=100", "--history", "news=5,1h"}
	kill := launch(t, bin, addr, options)
	pub, sub := dial(t, addr), dial(t, addr)
	sub.Send("HISTORY.SUBSCRIBE", "room:1", "LAST", "1")
	require.Equal(t, "0-0", string(sub.Read().Elems[4].Str))
	last := ""
	for i := range 150 {
		pub.Send("PUBLISH", "room:1", fmt.Sprint(i))
		last = string(sub.Read().Elems[3].Str)
		require.EqualValues(t, 1, pub.Read().Int)
		if i == 50 {
			pub.Want("BGREWRITEAOF", "+Background append only file rewriting started")
		}
	}
	digest := redistest.Show(pub.Do("DEBUG DIGEST"))
	kill()
	kill = launch(t, bin, addr, options)
	pub = dial(t, addr)
	require.Equal(t, digest, redistest.Show(pub.Do("DEBUG DIGEST")))
	sub = dial(t, addr)
	sub.asks("HISTORY.SUBSCRIBE room:1 SINCE "+last, confirmed("room:1", 1, 1, last))
	pub.publish("room:1", "after")
	require.Equal(t, []string{"after"}, sub.payloads())
	pub.Want("XLEN history:room:1", ":101")
	kill()
	entries, err := os.ReadDir(dir + "/appendonlydir")
	require.NoError(t, err)
	require.NotEmpty(t, entries)
}

// launch starts a program and returns what kills it at once, as kill -9 does.
func launch(t testing.TB, bin, addr string, options []string) (kill func()) {
	t.Helper()
	cmd := exec.Command(bin, options...)
	require.NoError(t, cmd.Start())
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, time.Minute, 5*time.Millisecond)
	return kill
}
