package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// Every quantile of random values must be at most 1/128 above the exact one,
// and never below it.
func TestHistogramAgainstSortedList(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() int64{
		"small":       func() int64 { return rng.Int64N(300) },
		"latencies":   func() int64 { return int64(50e3 * math.Exp(2*rng.NormFloat64())) },
		"whole range": func() int64 { return rng.Int64() >> rng.IntN(63) },
	} {
		t.Run(name, func(t *testing.T) {
			var a, b histogram
			var all []int64
			for i := range 20000 {
				v := draw()
				all = append(all, v)
				if i%3 == 0 {
					a.record(v)
				} else {
					b.record(v)
				}
			}
			a.merge(&b)
			slices.Sort(all)
			for _, q := range []float64{0, 0.001, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1} {
				exact := all[min(max(int(math.Ceil(q*float64(len(all)))), 1), len(all))-1]
				got := a.quantile(q)
				require.GreaterOrEqual(t, got, exact, "q=%v", q)
				require.LessOrEqual(t, float64(got), float64(exact)*(1+1.0/subBuckets), "q=%v", q)
			}
			require.Equal(t, all[len(all)-1], a.quantile(1), "the maximum is exact")
			require.Equal(t, all[0], a.min)
			require.Equal(t, uint64(20000), a.n)
		})
	}
}

func TestHistogramEdges(t *testing.T) {
	var h histogram
	require.Zero(t, h.quantile(0.5))
	require.Zero(t, h.mean())
	h.record(-5)
	h.record(math.MaxInt64)
	require.Zero(t, h.quantile(0.5))
	require.Equal(t, int64(math.MaxInt64), h.quantile(1))
	// Buckets tile the range without gaps and overlaps.
	for i := 1; i < bucketCount; i++ {
		top := bucketTop(i - 1)
		require.Equal(t, i-1, bucketOf(top))
		require.Equal(t, i, bucketOf(top+1))
	}
	require.Equal(t, int64(math.MaxInt64), bucketTop(bucketCount-1))
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
	m, err := parseMix("set:1,get:9", 50, 4)
	require.NoError(t, err)
	require.True(t, m.readsStrings())
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
	require.True(t, keys["bench:000000000049"])

	for _, bad := range []string{"nosuch", "set:0", "set:x", ""} {
		_, err := parseMix(bad, 1, 1)
		require.Error(t, err, bad)
	}
	m, err = parseMix("incr,hget", 1, 1)
	require.NoError(t, err)
	require.False(t, m.readsStrings())
}

// Latency counts from the moment a command should have been sent, so a stall
// is charged to everything that was due in it.
func TestOpenLoopCountsFromTheIntendedStart(t *testing.T) {
	m, err := parseMix("ping", 1, 1)
	require.NoError(t, err)
	const ms = int64(time.Millisecond)
	th := &thread{
		load: &load{pipeline: 1, mix: m, rate: 1000}, clock: &schedule{measure: 0, end: 100 * ms}, budget: math.MaxInt64,
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
	require.InEpsilon(t, 50*ms, th.tally.hist.quantile(0.5), 0.03)
	require.Equal(t, 100*ms, th.tally.hist.quantile(1))
	_, err = talk.heard([]byte("+PONG\r\n"), 0)
	require.ErrorContains(t, err, "too many")
}

// The warm-up does not count, nor does what a closed loop hears after the end.
func TestOnlyTheMeasurementCounts(t *testing.T) {
	m, err := parseMix("ping", 1, 1)
	require.NoError(t, err)
	var ta tally
	tk := &talk{load: &load{pipeline: 2, mix: m}, clock: &schedule{measure: 100, end: 200}, tally: &ta}
	for _, x := range []struct{ sent, heard, want int64 }{{50, 90, 0}, {95, 110, 0}, {100, 150, 2}, {150, 200, 2}} {
		tk.ask(x.sent)
		_, err := tk.heard([]byte("+PONG\r\n+PONG\r\n"), x.heard)
		require.NoError(t, err)
		require.Equal(t, x.want, ta.replies)
	}
	require.Equal(t, uint64(2), ta.hist.n)
	require.Equal(t, int64(50), ta.hist.max)
}

// fakeServer answers every command with what reply says and counts the commands.
func fakeServer(t *testing.T, reply func(args [][]byte) string) (addr string, seen *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	seen = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
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
			}()
		}
	}()
	return l.Addr().String(), seen
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

func transports() map[string]func(context.Context, *thread) error {
	return map[string]func(context.Context, *thread) error{"default": defaultTransport(), "goroutines": runGoroutines}
}

func TestRunByRequests(t *testing.T) {
	for name, transport := range transports() {
		for _, rate := range []float64{0, 100000} {
			t.Run(name, func(t *testing.T) {
				addr, seen := fakeServer(t, pong)
				m, err := parseMix("set,get,mset", 100, 1000)
				require.NoError(t, err)
				l := &load{conns: 5, threads: 2, pipeline: 10, mix: m, requests: 2000, rate: rate}
				res, err := run(t.Context(), addr, l, transport)
				require.NoError(t, err)
				require.Equal(t, int64(2000), res.replies)
				require.Equal(t, uint64(2000), res.hist.n)
				require.Equal(t, int64(2000), seen.Load())
				require.Zero(t, res.errors)
				require.Zero(t, res.unanswered)
				require.Positive(t, res.perSecond())
			})
		}
	}
}

func TestRunByTime(t *testing.T) {
	for name, transport := range transports() {
		for _, rate := range []float64{0, 5000} {
			t.Run(name, func(t *testing.T) {
				addr, seen := fakeServer(t, pong)
				m, err := parseMix("ping", 1, 1)
				require.NoError(t, err)
				l := &load{conns: 3, threads: 1, pipeline: 2, mix: m, rate: rate,
					warmup: int64(20 * time.Millisecond), duration: int64(100 * time.Millisecond)}
				res, err := run(t.Context(), addr, l, transport)
				require.NoError(t, err)
				require.Positive(t, res.replies)
				require.Less(t, res.replies, seen.Load(), "the warm-up was sent and did not count")
				if rate > 0 {
					require.Equal(t, int64(500), res.replies, "an open loop sends what the timetable says")
				}
			})
		}
	}
}

func TestRunReportsTrouble(t *testing.T) {
	m, err := parseMix("ping", 1, 1)
	require.NoError(t, err)
	for name, transport := range transports() {
		t.Run(name, func(t *testing.T) {
			l := &load{conns: 2, threads: 1, pipeline: 1, mix: m, requests: 100}
			addr, _ := fakeServer(t, func([][]byte) string { return "-LOADING wait\r\n" })
			res, err := run(t.Context(), addr, l, transport)
			require.NoError(t, err)
			require.Equal(t, int64(100), res.errors)
			require.Equal(t, "LOADING wait", res.firstError)

			addr, _ = fakeServer(t, func([][]byte) string { return "HTTP/1.1 400\r\n" })
			_, err = run(t.Context(), addr, l, transport)
			require.ErrorIs(t, err, errNoReply)

			addr, _ = fakeServer(t, func([][]byte) string { runtime.Goexit(); return "" })
			_, err = run(t.Context(), addr, l, transport)
			require.ErrorIs(t, err, io.EOF)

			ctx, cancel := context.WithCancel(t.Context())
			addr, _ = fakeServer(t, func([][]byte) string { cancel(); return "" })
			_, err = run(ctx, addr, l, transport)
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

func TestSideBySide(t *testing.T) {
	a, _ := fakeServer(t, pong)
	b, seen := fakeServer(t, pong)
	o, err := parse([]string{"-addr", a, "-versus", b, "-n", "300", "-warmup", "0", "-rounds", "3", "-c", "2", "-P", "1,4",
		"-mix", "ping;set:1,get:9", "-keys", "10"}, io.Discard)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, bench(t.Context(), o, &out))
	require.Equal(t, 4, strings.Count(out.String(), "A/B"), out.String())
	// 300 may not divide by depth and connections, so at least that many; and the head and the filling.
	require.GreaterOrEqual(t, seen.Load(), int64(2*2*3*300+10))

	bad, _ := fakeServer(t, func(args [][]byte) string {
		if string(args[0]) == "PING" {
			return "+PONG\r\n"
		}
		return "-ERR no\r\n"
	})
	o.addr, o.prefill = bad, false
	err = bench(t.Context(), o, &out)
	require.ErrorContains(t, err, "not to be trusted")
	require.ErrorContains(t, err, "ERR no")
}

func TestFlags(t *testing.T) {
	for _, bad := range []string{"", "-addr x -capstone", "-redis -versus x", "-versus x", "-redis -P 0", "-redis -c 0", "-redis extra", "-redis -n -1", "-redis -transport io"} {
		_, err := parse(strings.Fields(bad), io.Discard)
		require.Error(t, err, bad)
	}
}

func TestSaysThatRedisIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	o, err := parse([]string{"-redis", "-capstone"}, io.Discard)
	require.NoError(t, err)
	require.ErrorContains(t, bench(t.Context(), o, io.Discard), "redis-server is not installed")
}

func TestRealRedis(t *testing.T) {
	redistest.Need(t, "redis-server")
	every := make([]string, 0, len(templates))
	for name := range templates {
		every = append(every, name)
	}
	o, err := parse([]string{"-redis", "-n", "5000", "-warmup", "0", "-rounds", "1", "-P", "10", "-mix", strings.Join(every, ",") + ";get", "-keys", "1000"}, io.Discard)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, bench(t.Context(), o, &out), "every command of a mix must be one that Redis accepts")
	require.Contains(t, out.String(), "version ")
}

func TestFormatting(t *testing.T) {
	require.Equal(t, "1,234,567", thousands(1234567))
	require.Equal(t, "999", thousands(999))
	require.Equal(t, []string{"0", "999ns", "1.50µs", "15.0ms", "2.00s"}, []string{brief(0), brief(999), brief(1500), brief(15e6), brief(2e9)})
	require.InDelta(t, 2.5, median([]float64{4, 1, 3, 2}), 0)
	require.InDelta(t, 3, median([]float64{4, 1, 3}), 0)
}

// Who writes to the disk less is faster, and that says nothing else.
func TestUnlikePersistence(t *testing.T) {
	with := func(log string) string {
		addr, _ := fakeServer(t, func(args [][]byte) string {
			if string(args[0]) != "CONFIG" {
				return pong(args)
			}
			value := map[string]string{"appendonly": log, "appendfsync": "always"}[string(args[2])]
			return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(args[2]), args[2], len(value), value)
		})
		return addr
	}
	race := func(a, b string) (string, error) {
		o, err := parse([]string{"-addr", a, "-versus", b, "-n", "10", "-warmup", "0", "-rounds", "1", "-c", "1", "-P", "1", "-mix", "ping"}, io.Discard)
		require.NoError(t, err)
		var out bytes.Buffer
		err = bench(t.Context(), o, &out)
		return out.String(), err
	}
	out, err := race(with("no"), with("yes"))
	require.ErrorContains(t, err, "unlike persistence")
	require.Contains(t, out, "append-only file: no, snapshots: never")
	require.Contains(t, out, "append-only file: yes, fsync always, snapshots: never")
	_, err = race(with("yes"), with("yes"))
	require.NoError(t, err)
	silent, _ := fakeServer(t, pong) // does not tell
	_, err = race(silent, with("yes"))
	require.NoError(t, err)
}
