package load

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// clients are those that this system has.
func clients() []string {
	if runtime.GOOS == "linux" {
		return Clients
	}
	return Clients[2:]
}

func TestReplyCounter(t *testing.T) {
	for name, c := range map[string]struct {
		stream  string
		replies int
		errors  int64
	}{
		"simple":           {"+OK\r\n:1\r\n-ERR x\r\n", 3, 1},
		"bulk":             {"$5\r\nhello\r\n$0\r\n\r\n$-1\r\n$7\r\na\r\n+b\r\n\r\n", 4, 0},
		"array":            {"*2\r\n$1\r\na\r\n:1\r\n*0\r\n*-1\r\n", 3, 0},
		"nested":           {"*2\r\n*2\r\n+a\r\n*0\r\n*1\r\n*1\r\n$1\r\nx\r\n+next\r\n", 2, 0},
		"error inside":     {"*2\r\n-ERR in\r\n+a\r\n", 1, 1},
		"resp3 scalars":    {"_\r\n#t\r\n,1.5\r\n(123456789012345678901234567890\r\n=7\r\ntxt:abc\r\n!5\r\nERR x\r\n", 6, 1},
		"map":              {"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n%0\r\n~1\r\n+x\r\n", 3, 0},
		"push is no reply": {">2\r\n+message\r\n*1\r\n:1\r\n+OK\r\n", 1, 0},
		"attribute":        {"|1\r\n+k\r\n*1\r\n+v\r\n*1\r\n:5\r\n+OK\r\n", 2, 0},
		"attribute inside": {"*2\r\n|1\r\n+k\r\n+v\r\n:1\r\n:2\r\n+OK\r\n", 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for size := 1; size <= len(c.stream); size++ { // cut everywhere
				var rc replyCounter
				total := 0
				for chunk := range slices.Chunk([]byte(c.stream), size) {
					n, err := rc.count(chunk)
					require.NoError(t, err)
					total += n
				}
				require.Equal(t, c.replies, total, "pieces of %d", size)
				require.Equal(t, c.errors, rc.errors)
			}
		})
	}
	for _, bad := range []string{"hello\r\n", "\r\n", "*x\r\n", "$-2\r\n", "+OK\n", "$99999999999\r\n", strings.Repeat("+", maxHeader+1)} {
		var rc replyCounter
		_, err := rc.count([]byte(bad))
		require.ErrorIs(t, err, errNoReply, "%.20q", bad)
	}
}

func TestMix(t *testing.T) {
	m, err := parseMix("set:1+get:9", 50, 4)
	require.NoError(t, err)
	require.Equal(t, "SET:1+GET:9", m.Name)
	require.Nil(t, m.Words("*"))
	var rng rand.PCG
	rng.Seed(1, 1)
	var stream []byte
	for range 10000 {
		stream = m.append(stream, &rng)
	}
	r := resp.NewCommandReader(bytes.NewReader(stream))
	seen, keys := map[string]int{}, map[string]bool{}
	for {
		args, err := r.ReadCommand()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		seen[string(args[0])]++
		keys[string(args[1])] = true
		if string(args[0]) == "SET" {
			require.Equal(t, "xxxx", string(args[2]))
		}
	}
	require.Equal(t, 10000, seen["SET"]+seen["GET"])
	require.InDelta(t, 1000, seen["SET"], 150)
	require.Len(t, keys, 50)
	require.True(t, keys["key:000000000049"])

	for _, bad := range []string{"nosuch", "set:0", "set:x", "", "set+", "ping"} {
		_, err := parseMix(bad, 1, 1)
		require.Error(t, err, bad)
	}
}

// Latency counts from the moment a command should have been sent, so a stall
// is charged to everything that was due in it.
func TestOpenLoopCountsFromTheIntendedStart(t *testing.T) {
	m, err := parseMix("ping_mbulk", 1, 1)
	require.NoError(t, err)
	const ms = int64(time.Millisecond)
	th := &thread{
		load: &Load{Pipeline: 1, Mix: m, Rate: 1000}, clock: &schedule{measure: 0, end: 100 * ms}, budget: math.MaxInt64,
		pacer: pacer{interval: float64(ms)},
	}
	talk := &talk{load: th.load, clock: th.clock, tally: &th.tally}
	for th.mayAsk(th.pacer.due()) {
		talk.ask(th.pacer.due())
		th.pacer.k++
	}
	require.Equal(t, int64(100), th.pacer.k)
	n, err := talk.heard([]byte(strings.Repeat("+PONG\r\n", 100)), 100*ms) // all at once, after a stall
	require.NoError(t, err)
	require.Equal(t, 100, n)
	require.False(t, talk.waiting())
	require.InEpsilon(t, 50*ms, th.tally.Hist.Quantile(0.5), 0.03)
	require.Equal(t, 100*ms, th.tally.Hist.Quantile(1))
	_, err = talk.heard([]byte("+PONG\r\n"), 0)
	require.ErrorContains(t, err, "too many")
}

// By time, what comes between the beginning and the end counts; by number, what was sent to be measured.
func TestOnlyTheMeasurementCounts(t *testing.T) {
	m, err := parseMix("ping_mbulk", 1, 1)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		load Load
		want [4]int64
	}{
		"by time":   {Load{Pipeline: 2, Mix: m}, [4]int64{0, 2, 4, 4}},
		"by number": {Load{Pipeline: 2, Mix: m, Requests: 100}, [4]int64{0, 0, 2, 4}},
		"open loop": {Load{Pipeline: 2, Mix: m, Rate: 1}, [4]int64{0, 0, 2, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			var ta Tally
			tk := &talk{load: &c.load, clock: &schedule{measure: 100, end: 200}, tally: &ta}
			for i, x := range []struct{ sent, heard int64 }{{50, 90}, {95, 110}, {100, 150}, {150, 200}} {
				tk.ask(x.sent)
				_, err := tk.heard([]byte("+PONG\r\n+PONG\r\n"), x.heard)
				require.NoError(t, err)
				require.Equal(t, c.want[i], ta.Replies)
			}
			require.Equal(t, uint64(ta.Replies), ta.Hist.N)
			require.Equal(t, int64(8), ta.All, "what the server did, it did")
		})
	}
}

// fakeServer answers every command with what reply says and counts the commands.
func fakeServer(t *testing.T, reply func(args [][]byte) string) (addr string, seen *atomic.Int64) {
	t.Helper()
	seen = new(atomic.Int64)
	return redistest.Accept(t, func(c net.Conn) {
		defer func() { _ = c.Close() }()
		r := resp.NewCommandReader(c)
		for {
			args, err := r.ReadCommand()
			if err != nil {
				return
			}
			seen.Add(1)
			if _, err := io.WriteString(c, reply(args)); err != nil {
				return
			}
		}
	}), seen
}

func pong(args [][]byte) string {
	switch string(args[0]) {
	case "PING":
		return "+PONG\r\n"
	case "GET":
		return "$3\r\nxxx\r\n"
	}
	return "+OK\r\n"
}

func TestRunByRequests(t *testing.T) {
	for _, name := range clients() {
		for _, rate := range []float64{0, 100000} {
			t.Run(name, func(t *testing.T) {
				addr, seen := fakeServer(t, pong)
				m, err := parseMix("set+get+mset", 100, 1000)
				require.NoError(t, err)
				l := &Load{Client: name, Conns: 5, Threads: 2, Pipeline: 10, Mix: m, Requests: 2000, Rate: rate}
				res, err := Run(t.Context(), addr, l)
				require.NoError(t, err)
				require.Equal(t, int64(2000), res.Replies)
				require.Equal(t, uint64(2000), res.Hist.N)
				require.Equal(t, int64(2000), seen.Load())
				require.Zero(t, res.Errors)
				require.Zero(t, res.Unanswered)
				require.Positive(t, res.PerSecond())
			})
		}
	}
}

func TestRunByTime(t *testing.T) {
	for _, name := range clients() {
		for _, rate := range []float64{0, 5000} {
			t.Run(name, func(t *testing.T) {
				addr, seen := fakeServer(t, pong)
				m, err := parseMix("ping_mbulk", 1, 1)
				require.NoError(t, err)
				l := &Load{Client: name, Conns: 3, Threads: 1, Pipeline: 2, Mix: m, Rate: rate,
					Warmup: 20 * time.Millisecond, Duration: 100 * time.Millisecond}
				res, err := Run(t.Context(), addr, l)
				require.NoError(t, err)
				require.Positive(t, res.Replies)
				require.Less(t, res.Replies, seen.Load(), "the warm-up was sent and did not count")
				if rate > 0 {
					require.Equal(t, int64(500), res.Replies, "an open loop sends what the timetable says")
				}
			})
		}
	}
}

func TestRunReportsTrouble(t *testing.T) {
	m, err := parseMix("ping_mbulk", 1, 1)
	require.NoError(t, err)
	for _, name := range clients() {
		t.Run(name, func(t *testing.T) {
			l := &Load{Client: name, Conns: 2, Threads: 1, Pipeline: 1, Mix: m, Requests: 100}
			addr, _ := fakeServer(t, func([][]byte) string { return "-LOADING wait\r\n" })
			res, err := Run(t.Context(), addr, l)
			require.NoError(t, err)
			require.Equal(t, int64(100), res.Errors)
			require.Equal(t, "LOADING wait", res.FirstError)

			addr, _ = fakeServer(t, func([][]byte) string { return "HTTP/1.1 400\r\n" })
			_, err = Run(t.Context(), addr, l)
			require.ErrorIs(t, err, errNoReply)

			addr, _ = fakeServer(t, func([][]byte) string { runtime.Goexit(); return "" })
			_, err = Run(t.Context(), addr, l)
			require.ErrorIs(t, err, io.EOF)

			ctx, cancel := context.WithCancel(t.Context())
			addr, _ = fakeServer(t, func([][]byte) string { cancel(); return "" })
			_, err = Run(ctx, addr, l)
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

// What -t selects is what redis-benchmark's -t selects, and the words on the wire are redis-benchmark's.
func TestTheDefaultList(t *testing.T) {
	ms, err := Parse("default", 100, 3)
	require.NoError(t, err)
	names := make([]string, len(ms))
	for i, m := range ms {
		names[i] = m.Name
	}
	require.Equal(t, strings.Fields("PING_INLINE PING_MBULK SET GET INCR LPUSH RPUSH LPOP RPOP SADD HSET SPOP ZADD ZPOPMIN "+
		"LRANGE_100 LRANGE_300 LRANGE_500 LRANGE_600 MSET"), names)
	require.Equal(t, []string{"ZADD", "myzset", "*", "element:*"}, ms[12].Words("*"))
	require.Equal(t, []string{"HSET", "myhash", "element:*", "xxx"}, ms[10].Words("*"))
	require.Nil(t, ms[0].Words("*"))
	require.Equal(t, "PING\r\n", string(ms[0].append(nil, &rand.PCG{})))
	ms, err = Parse("PING, lrange,get", 100, 3)
	require.NoError(t, err)
	require.Len(t, ms, 7)
	_, err = Parse("get,nosuch", 100, 3)
	require.ErrorContains(t, err, `no test "nosuch"; there are: ping_inline ping_mbulk set`)
}

// A real Redis accepts every command there is, finds what it shall read or take, and is found to have run dry.
func TestOnRealRedis(t *testing.T) {
	addr := redistest.Start(t, t.TempDir())
	for _, name := range Names() {
		m, err := parseMix(name, 50, 3)
		require.NoError(t, err)
		require.NoError(t, m.Prepare(t.Context(), addr, 1000))
		res, err := Run(t.Context(), addr, &Load{Conns: 2, Threads: 1, Pipeline: 10, Mix: m, Requests: 900, Client: clients()[0]})
		require.NoError(t, err)
		require.Zero(t, res.Errors, "%s: %s", name, res.FirstError)
		dry, err := m.RanDry(t.Context(), addr)
		require.NoError(t, err)
		require.False(t, dry, name)
	}
	m, err := parseMix("spop", 50, 3)
	require.NoError(t, err)
	require.NoError(t, m.Prepare(t.Context(), addr, 100))
	_, err = Run(t.Context(), addr, &Load{Conns: 1, Threads: 1, Pipeline: 10, Mix: m, Requests: 2000, Client: clients()[0]})
	require.NoError(t, err)
	dry, err := m.RanDry(t.Context(), addr)
	require.NoError(t, err)
	require.True(t, dry)
}
