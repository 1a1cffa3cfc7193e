package history_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"byor/pkg/config"
	"byor/pkg/history"
	"byor/pkg/redistest"
	"byor/pkg/resp"
	_ "byor/pkg/script"
	"byor/pkg/server"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// clock is a wall clock that stands still until it is set.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.ms.Load()) }

// at returns a clock at so many milliseconds.
func at(ms int64) *clock {
	c := new(clock)
	c.ms.Store(ms)
	return c
}

// start runs a server with the rules and the options of the command line until the test ends. A nil clock is the
// system's.
func start(t testing.TB, c *clock, rules string, options ...string) (srv *server.Server, addr string) {
	t.Helper()
	parsed, err := history.ParseRules(rules)
	require.NoError(t, err)
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs(append([]string{"--port", "0", "--save", "", "--dir", t.TempDir(), "--enable-debug-command", "yes",
		"--repl-diskless-sync-delay", "0"}, options...)))
	o := server.Options{Log: server.LogTo(io.Discard), History: history.New(parsed)}
	if c != nil {
		o.Clock = c.now
	}
	srv = server.New(cfg, o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go srv.Serve(ln)
	require.NoError(t, srv.Start())
	t.Cleanup(func() { stop(srv) })
	return srv, ln.Addr().String()
}

func stop(srv *server.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = srv.Shutdown(ctx, server.ShutdownMode{NoSave: true, Now: true, Force: true})
}

// client is a client with expectations.
type client struct{ *redistest.Client }

func dial(t testing.TB, addr string) client { return client{redistest.Connect(t, addr)} }

// hears requires the next things that the server sends.
func (c client) hears(lines ...string) {
	c.T.Helper()
	for _, want := range lines {
		require.Equal(c.T, want, redistest.Show(c.Read()))
	}
}

// asks sends a line and requires what comes of it, which may be several things.
func (c client) asks(line string, replies ...string) {
	c.T.Helper()
	c.Send(redistest.Words(c.T, line)...)
	for i, r := range replies { // a confirmation says how many messages follow for its channel
		if name, open := strings.CutSuffix(r, follow); open {
			channel := strings.Fields(name)[1]
			n := strings.Count(strings.Join(replies, "\n"), `["message" `+channel)
			replies[i] = fmt.Sprintf("%s :%d]", name, n)
		}
	}
	c.hears(replies...)
}

// follow is the end of a confirmation whose number of messages follows from what is required besides.
const follow = " and so many follow"

// payloads returns the payloads of the messages that have been sent so far.
func (c client) payloads() (all []string) {
	c.T.Helper()
	c.Send("SUBSCRIBE", "the end")
	for {
		v := c.Read()
		if string(v.Elems[1].Str) == "the end" {
			return all
		}
		require.Equal(c.T, "message", string(v.Elems[0].Str))
		all = append(all, string(v.Elems[2].Str))
	}
}

func (c client) publish(channel string, payloads ...string) {
	c.T.Helper()
	for _, p := range payloads {
		c.Send("PUBLISH", channel, p)
		require.Equal(c.T, resp.Integer, c.Read().Kind, p)
	}
}

func confirmed(channel string, n, recovered int, last string) string {
	return fmt.Sprintf(`*["subscribe" %q :%d :%d %q`, channel, n, recovered, last) + follow
}

func message(channel, payload, entry string) string {
	return fmt.Sprintf(`*["message" %q %q %q]`, channel, payload, entry)
}

func TestHistoryIsKeptAndSent(t *testing.T) {
	ms := at(1700)
	_, addr := start(t, ms, "room:*=3 news=2,1h")
	c := dial(t, addr)
	c.publish("room:1", "a", "b", "c", "d", "e")
	c.publish("elsewhere", "x")
	c.Want("KEYS *", `*["history:room:1"]`)
	c.Want("XRANGE history:room:1 - +", `*[*["1700-1" *["data" "b"]] *["1700-2" *["data" "c"]] *["1700-3" *["data" "d"]] *["1700-4" *["data" "e"]]]`)

	sub := dial(t, addr)
	sub.asks("HISTORY.SUBSCRIBE room:1 LAST 2 room:2 LAST 5 elsewhere LAST 5",
		confirmed("room:1", 1, 1, "1700-4"), confirmed("room:2", 2, 1, "0-0"), `*["subscribe" "elsewhere" :3 :0 $(nil) :0]`,
		message("room:1", "d", "1700-3"), message("room:1", "e", "1700-4"))
	c.publish("room:2", "hello")
	c.publish("elsewhere", "y")
	sub.hears(message("room:2", "hello", "1700-5"), `*["message" "elsewhere" "y"]`)

	capped := dial(t, addr)
	capped.asks("HISTORY.SUBSCRIBE room:1 LAST 100", confirmed("room:1", 1, 1, "1700-4"),
		message("room:1", "c", "1700-2"), message("room:1", "d", "1700-3"), message("room:1", "e", "1700-4"))
	none := dial(t, addr)
	none.asks("HISTORY.SUBSCRIBE room:1 LAST 0", confirmed("room:1", 1, 1, "1700-4"))
	plain := dial(t, addr)
	plain.asks("SUBSCRIBE room:1", `*["subscribe" "room:1" :1]`)
	third := dial(t, addr)
	third.asks("HISTORY.SUBSCRIBE other LAST 1", `*["subscribe" "other" :1 :0 $(nil) :0]`)
	third.asks("PSUBSCRIBE room:*", `*["psubscribe" "room:*" :2]`)
	c.publish("room:1", "f")
	for _, sub := range []client{sub, capped, none} {
		sub.hears(message("room:1", "f", "1700-5"))
	}
	plain.hears(`*["message" "room:1" "f"]`)
	third.hears(`*["pmessage" "room:*" "room:1" "f" "1700-5"]`)
}

// Every entry that is there, and the one before them, is a place to go on from without a hole.
func TestResume(t *testing.T) {
	ms := at(1000)
	_, addr := start(t, ms, "room:*=3")
	c := dial(t, addr)
	for i := range 6 {
		ms.ms.Store(int64(1001 + i))
		c.publish("room:1", fmt.Sprint(i))
	}
	resume := func(since string, recovered int, payloads ...string) {
		t.Helper()
		sub := dial(t, addr)
		sub.Send("HISTORY.SUBSCRIBE", "room:1", "SINCE", since)
		sub.hears(fmt.Sprintf(`*["subscribe" "room:1" :1 :%d "1006-0" :%d]`, recovered, len(payloads)))
		require.Equal(t, payloads, sub.payloads(), since)
	}
	resume("1006-0", 1)
	resume("1005-0", 1, "5")
	resume("1003-0", 1, "3", "4", "5") // it is the spare one: nothing after it has gone
	resume("1002-0", 0, "2", "3", "4", "5")
	resume("0-0", 0, "2", "3", "4", "5")
	resume("1004-5", 0, "4", "5") // nobody has ever seen this one
	resume("1007-0", 0)
	resume("18446744073709551615-5", 0)
	resume("1000-18446744073709551615", 0, "2", "3", "4", "5") // a replica's mark: nothing was seen yet
	c.Want("XDEL history:room:1 1005-0", ":1")
	resume("1004-0", 0, "5")
	resume("1005-0", 0, "5")
	resume("1006-0", 1)
	c.Want("XTRIM history:room:1 MAXLEN 0", ":3")
	resume("1006-0", 1) // nothing came after it
	resume("1004-0", 0)
	require.Equal(t, "5", c.Info("history_hits"))
	require.Equal(t, "9", c.Info("history_misses"))

}

func TestResumeFromNothing(t *testing.T) {
	_, addr := start(t, at(1000), "room:*=3")
	c := dial(t, addr)
	sub := dial(t, addr)
	sub.asks("HISTORY.SUBSCRIBE room:1 LAST 10", confirmed("room:1", 1, 1, "0-0"))
	c.publish("room:1", "a", "b", "c", "d")
	again := dial(t, addr)
	again.asks("HISTORY.SUBSCRIBE room:1 SINCE 0-0", confirmed("room:1", 1, 1, "1000-3"), message("room:1", "a", "1000-0"),
		message("room:1", "b", "1000-1"), message("room:1", "c", "1000-2"), message("room:1", "d", "1000-3"))
	c.publish("room:1", "e")
	dial(t, addr).asks("HISTORY.SUBSCRIBE room:1 SINCE 0-0", `*["subscribe" "room:1" :1 :0 "1000-4" :4]`)
}

// A key that was deleted is another history, also within the same millisecond and when the clock goes back.
func TestNoIDTwice(t *testing.T) {
	ms := at(1000)
	_, addr := start(t, ms, "room:*=3")
	c := dial(t, addr)
	c.publish("room:1", "a", "b")
	for _, wipe := range []string{"DEL history:room:1", "FLUSHALL", "UNLINK history:room:1", "FLUSHDB"} {
		seen := strings.Trim(redistest.Show(c.Do("XREVRANGE history:room:1 + - COUNT 1")), "*[]")
		seen = strings.Trim(strings.Fields(seen)[0], `"`)
		c.Do(wipe)
		dial(t, addr).asks("HISTORY.SUBSCRIBE room:1 SINCE "+seen, confirmed("room:1", 1, 0, "0-0"))
		ms.ms.Add(-100)
		c.publish("room:1", wipe)
		v := redistest.Show(c.Do("XINFO STREAM history:room:1"))
		require.NotContains(t, v, seen)
		sub := dial(t, addr)
		sub.Send("HISTORY.SUBSCRIBE", "room:1", "SINCE", seen)
		require.Equal(t, int64(0), sub.Read().Elems[3].Int, wipe)
		sub.Conn.Close()
	}
	c.publish("room:1", "z")
	c.Want("XLEN history:room:1", ":2")
}

func TestAge(t *testing.T) {
	ms := at(1_000_000)
	_, addr := start(t, ms, "room:*=100,10s")
	c := dial(t, addr)
	c.publish("room:1", "a", "b")
	c.Want("PTTL history:room:1", ":20000")
	ms.ms.Add(1000)
	c.publish("room:1", "c")
	c.Want("PTTL history:room:1", ":19000")
	ms.ms.Add(9500) // a and b are too old
	dial(t, addr).asks("HISTORY.SUBSCRIBE room:1 LAST 10", confirmed("room:1", 1, 1, "1001000-0"), message("room:1", "c", "1001000-0"))
	dial(t, addr).asks("HISTORY.SUBSCRIBE room:1 SINCE 1000000-1", confirmed("room:1", 1, 1, "1001000-0"), message("room:1", "c", "1001000-0"))
	dial(t, addr).asks("HISTORY.SUBSCRIBE room:1 SINCE 1000000-0", confirmed("room:1", 1, 0, "1001000-0"), message("room:1", "c", "1001000-0"))
	ms.ms.Add(5000) // all are
	c.publish("room:1", "d")
	c.Want("XRANGE history:room:1 - +", `*[*["1001000-0" *["data" "c"]] *["1015500-0" *["data" "d"]]]`)
	c.Want("PTTL history:room:1", ":20000")
	dial(t, addr).asks("HISTORY.SUBSCRIBE room:1 SINCE 1001000-0", confirmed("room:1", 1, 1, "1015500-0"), message("room:1", "d", "1015500-0"))
	ms.ms.Add(20001)
	c.Want("EXISTS history:room:1", ":0")
	dial(t, addr).asks("HISTORY.SUBSCRIBE room:1 SINCE 1015500-0", confirmed("room:1", 1, 0, "0-0"))
}

// A message that can't be kept is not delivered either, and the publisher hears why.
func TestRefused(t *testing.T) {
	_, addr := start(t, at(1000), "room:*=3")
	c, sub := dial(t, addr), dial(t, addr)
	sub.asks("SUBSCRIBE room:1 room:2", `*["subscribe" "room:1" :1]`, `*["subscribe" "room:2" :2]`)
	c.Want("SET history:room:1 x", "+OK")
	c.Want("PUBLISH room:1 a", "-WRONGTYPE the key 'history:room:1' holds something else than the channel's history: nothing was published")
	dial(t, addr).asks("HISTORY.SUBSCRIBE room:1 LAST 1", confirmed("room:1", 1, 0, "0-0"))
	c.Want("XADD history:room:2 18446744073709551615-18446744073709551615 data x", `"18446744073709551615-18446744073709551615"`)
	c.Want("PUBLISH room:2 a", "-ERR the history in the key 'history:room:2' has used the last possible ID: nothing was published")
	c.Want("MULTI", "+OK")
	c.Want("PUBLISH room:1 a", "+QUEUED")
	c.Want("PUBLISH elsewhere a", "+QUEUED")
	c.Want("EXEC", "*[-WRONGTYPE the key 'history:room:1' holds something else than the channel's history: nothing was published :0]")
	c.Want("EVAL \"return redis.pcall('PUBLISH', 'room:1', 'a')['err']\" 0", `"WRONGTYPE the key 'history:room:1' holds something else than the channel's history: nothing was published"`)
	c.Want("DEL history:room:1 history:room:2", ":2")
	c.Want("CONFIG SET maxmemory 1", "+OK")
	c.Want("PUBLISH room:1 a", "-OOM command not allowed when used memory > 'maxmemory'.")
	require.Contains(t, redistest.Show(c.Do("EVAL \"#!lua flags=allow-oom\nreturn redis.pcall('PUBLISH', 'room:1', 'a')['err']\" 0")), "OOM")
	c.Want("PUBLISH elsewhere a", ":0")
	c.Want("CONFIG SET maxmemory 0", "+OK")
	c.Want("CONFIG SET min-replicas-to-write 1", "+OK")
	c.Want("PUBLISH room:1 a", "-NOREPLICAS Not enough good replicas to write.")
	c.Want("CONFIG SET min-replicas-to-write 0", "+OK")
	c.publish("room:1", "at last")
	sub.hears(`*["message" "room:1" "at last"]`)
	c.Want("XLEN history:room:1", ":1")
}

func TestWrongRequests(t *testing.T) {
	_, addr := start(t, at(1000), "room:*=3")
	c := dial(t, addr)
	const usage = "-ERR each channel must be followed by LAST and a number or by SINCE and an ID"
	for line, reply := range map[string]string{
		"HISTORY.SUBSCRIBE room:1 LAST":                                    "-ERR wrong number of arguments for 'history.subscribe' command",
		"HISTORY.SUBSCRIBE room:1 LAST 1 room:2":                           usage,
		"HISTORY.SUBSCRIBE room:1 FIRST 1":                                 usage,
		"HISTORY.SUBSCRIBE room:1 LAST -1":                                 "-ERR LAST takes a number that is not negative",
		"HISTORY.SUBSCRIBE room:1 LAST x":                                  "-ERR LAST takes a number that is not negative",
		"HISTORY.SUBSCRIBE room:1 SINCE x":                                 "-ERR SINCE takes the ID of an entry, such as 1700000000000-0",
		"HISTORY.SUBSCRIBE room:1 LAST 1 room:1 SINCE 0-0":                 "-ERR the channel 'room:1' is named twice",
		"EVAL \"return redis.call('HISTORY.SUBSCRIBE','a','LAST','1')\" 0": "",
	} {
		got := redistest.Show(c.Do(line))
		if reply == "" {
			require.Contains(t, got, "not allowed from script")
			continue
		}
		require.Equal(t, reply, got, line)
	}
	c.Want("PUBSUB CHANNELS", "*[]") // a request that was refused has not subscribed to a part of it
	c.Want("MULTI", "+OK")
	c.Want("HISTORY.SUBSCRIBE room:1 LAST 1", "-ERR Command not allowed inside a transaction")
	c.Want("DISCARD", "+OK")
	c.asks("HISTORY.SUBSCRIBE room:1 LAST 1", confirmed("room:1", 1, 1, "0-0"))
	dial(t, addr).Want("PUBSUB CHANNELS", `*["room:1"]`)
	c.asks("RESET", "+RESET")
	c.asks("SUBSCRIBE room:1", `*["subscribe" "room:1" :1]`)
	dial(t, addr).publish("room:1", "a")
	c.hears(`*["message" "room:1" "a"]`) // RESET has made it a plain subscriber
}

// What the server itself publishes has no history, nor have sharded channels.
func TestNotKept(t *testing.T) {
	_, addr := start(t, at(1000), "*=3", "--notify-keyspace-events", "KEA")
	c, sub := dial(t, addr), dial(t, addr)
	sub.asks("HISTORY.SUBSCRIBE x LAST 1", confirmed("x", 1, 1, "0-0"))
	sub.asks("PSUBSCRIBE __key*", `*["psubscribe" "__key*" :2]`)
	c.publish("__sentinel__:hello", "a")
	c.Want("SPUBLISH shard a", ":0")
	c.Want("KEYS *", "*[]")
	c.publish("x", "a")
	sub.hears(`*["pmessage" "__key*" "__keyspace@0__:history:x" "xadd"]`, `*["pmessage" "__key*" "__keyevent@0__:xadd" "history:x"]`)
	sub.hears(`*["message" "x" "a" "1000-0"]`)
	c.Want("KEYS *", `*["history:x"]`)
}

// The rights that count are those to the channel, as for SUBSCRIBE. The key needs none.
func TestRights(t *testing.T) {
	_, addr := start(t, at(1000), "room:*=3")
	c := dial(t, addr)
	c.Want("ACL SETUSER ann on >x +@pubsub +publish resetchannels &room:1 resetkeys", "+OK")
	c.publish("room:1", "a")
	c.publish("room:2", "b")
	ann := dial(t, addr)
	ann.Want("AUTH ann x", "+OK")
	const denied = "-NOPERM this user has no permissions to access one of the channels used as arguments"
	ann.Want("HISTORY.SUBSCRIBE room:2 LAST 1", denied)
	ann.Want("HISTORY.SUBSCRIBE room:1 LAST 1 room:2 LAST 1", denied)
	ann.Want("PUBLISH room:1 c", ":0")
	ann.asks("HISTORY.SUBSCRIBE room:1 LAST 1", confirmed("room:1", 1, 1, "1000-1"), message("room:1", "c", "1000-1"))
	c.Want("ACL SETUSER ann -history.subscribe", "+OK")
	bob := dial(t, addr)
	bob.Want("AUTH ann x", "+OK")
	bob.Want("HISTORY.SUBSCRIBE room:1 LAST 1", "-NOPERM this user has no permissions to run the 'history.subscribe' command")
}

// PUBLISH keeps messages wherever it runs: in a transaction, in a script, in another database.
func TestEveryPublish(t *testing.T) {
	_, addr := start(t, at(1000), "room:*=10")
	c, sub := dial(t, addr), dial(t, addr)
	sub.Do("HELLO 3")
	sub.asks("HISTORY.SUBSCRIBE room:1 LAST 1", `>["subscribe" "room:1" :1 :1 "0-0" :0]`)
	c.Want("SELECT 5", "+OK")
	c.publish("room:1", "a")
	c.Want("MULTI", "+OK")
	c.Want("PUBLISH room:1 b", "+QUEUED")
	c.Want("PUBLISH room:1 c", "+QUEUED")
	c.Want("EXEC", "*[:1 :1]")
	c.Want("EVAL \"return redis.call('PUBLISH', 'room:1', ARGV[1])\" 0 d", ":1")
	for i, p := range []string{"a", "b", "c", "d"} {
		sub.hears(fmt.Sprintf(`>["message" "room:1" %q "1000-%d"]`, p, i))
	}
	c.Want("DBSIZE", ":0")
	c.Want("SELECT 0", "+OK")
	c.Want("XLEN history:room:1", ":4")
	c.Want("WATCH history:room:1", "+OK")
	dial(t, addr).publish("room:1", "e")
	c.Want("MULTI", "+OK")
	c.Want("PING", "+QUEUED")
	c.Want("EXEC", "*(nil)")
}

// A replay is no longer than what may wait for a subscriber: the rest is a hole of which it is told.
func TestReplayFits(t *testing.T) {
	_, addr := start(t, at(1000), "room:*=100", "--client-output-buffer-limit", "pubsub 40kb 0 0")
	c := dial(t, addr)
	big := strings.Repeat("x", 3000)
	for i := range 20 {
		c.publish("room:1", fmt.Sprint(i, big))
	}
	for _, want := range []string{"LAST 20", "SINCE 1000-3"} {
		sub := dial(t, addr)
		sub.asks("HISTORY.SUBSCRIBE room:1 "+want, `*["subscribe" "room:1" :1 :0 "1000-19" :6]`)
		for i := 14; i < 20; i++ {
			sub.hears(message("room:1", fmt.Sprint(i, big), fmt.Sprintf("1000-%d", i)))
		}
	}
	dial(t, addr).asks("HISTORY.SUBSCRIBE room:1 LAST 1", `*["subscribe" "room:1" :1 :1 "1000-19" :1]`)
}

// Messages that several subscribers share as one block have the entry for those who want it, and not for others.
func TestLargeMessages(t *testing.T) {
	_, addr := start(t, at(1000), "room:*=100")
	big := strings.Repeat("x", 5000)
	plain, entry, more := dial(t, addr), dial(t, addr), dial(t, addr)
	plain.asks("SUBSCRIBE room:1", `*["subscribe" "room:1" :1]`)
	for _, c := range []client{entry, more} {
		c.asks("HISTORY.SUBSCRIBE room:1 LAST 1", confirmed("room:1", 1, 1, "0-0"))
	}
	dial(t, addr).publish("room:1", big)
	plain.hears(fmt.Sprintf(`*["message" "room:1" %q]`, big))
	entry.hears(message("room:1", big, "1000-0"))
	more.hears(message("room:1", big, "1000-0"))
}
