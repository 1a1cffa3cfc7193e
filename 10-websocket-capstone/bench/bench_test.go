package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/10-websocket-capstone/bench/load"
	"byor/10-websocket-capstone/bench/report"
	"byor/10-websocket-capstone/bench/servers"
	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// fake is a tiny server. It answers what reply says, and tells into log, which several may share, who was asked what.
type fake struct {
	name  string
	reply func(args []string) string
	log   *askLog
}

// askLog notes the servers that were asked for a measured command, without repetitions.
type askLog struct {
	mu    sync.Mutex
	turns []string
	count map[string]int
}

func (l *askLog) asked(name, command string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count[name+" "+command]++
	if command == "INCR" && (len(l.turns) == 0 || l.turns[len(l.turns)-1] != name) {
		l.turns = append(l.turns, name)
	}
}

func (f fake) listen(t *testing.T) (addr string) {
	t.Helper()
	return redistest.Accept(t, f.serve)
}

func (f fake) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := resp.NewCommandReader(c)
	for {
		words, err := r.ReadCommand()
		if err != nil {
			return
		}
		args := make([]string, len(words))
		for i, w := range words {
			args[i] = string(w)
		}
		if f.log != nil {
			f.log.asked(f.name, strings.ToUpper(args[0]))
		}
		if _, err := io.WriteString(c, f.reply(args)); err != nil {
			return
		}
	}
}

func polite(args []string) string {
	switch args[0] {
	case "PING":
		return "+PONG\r\n"
	case "GET":
		return "$3\r\nxxx\r\n"
	case "INCR", "LLEN":
		return ":1000000\r\n"
	case "CONFIG", "INFO":
		return "-ERR unknown command\r\n"
	}
	return "+OK\r\n"
}

// race runs the bench with the flags, and returns what it prints.
func race(t *testing.T, flags ...string) (string, error) {
	t.Helper()
	o, err := parse(flags, io.Discard)
	require.NoError(t, err)
	var out bytes.Buffer
	err = run(t.Context(), o, flags, &out)
	return out.String(), err
}

var short = []string{"-n", "300", "-warmup", "0", "-c", "2", "-r", "10"}

func TestTwoTakeTurns(t *testing.T) {
	log := &askLog{count: map[string]int{}}
	a, b := fake{"a", polite, log}.listen(t), fake{"b", polite, log}.listen(t)
	page := filepath.Join(t.TempDir(), "report.html")
	out, err := race(t, append(short, "-a", "one="+a, "-b", "two="+b, "-rounds", "4", "-P", "5", "-t", "incr,set:1+get:9,lrange_100", "-html", page)...)
	require.NoError(t, err, out)
	require.Equal(t, []string{"a", "b", "a", "b", "a"}, log.turns, "A B, B A, A B, B A: two turns at a border are one")
	require.Equal(t, log.count["a INCR"], log.count["b INCR"], "both get the same work")
	require.GreaterOrEqual(t, log.count["a INCR"], 4*300)
	require.Regexp(t, `(?m)^A  one at 127.*\nB  two at 127`, out)
	for _, name := range []string{"INCR", `SET:1\+GET:9`, "LRANGE_100"} {
		require.Regexp(t, `(?m)^`+name+` +[\d,]+ +[\d,]+ +\d+\.\d\d \d+\.\d\d–\d+\.\d\d( +\S+s){4} +- +-$`, out)
	}
	require.Contains(t, out, "takes about")
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(html), "LRANGE_100")
	require.Contains(t, out, "The report is in "+page)
}

func TestOrder(t *testing.T) {
	var turns []int
	for round := range 4 {
		turns = append(turns, order(round, 2)...)
	}
	require.Equal(t, []int{0, 1, 1, 0, 0, 1, 1, 0}, turns)
	require.Equal(t, []int{0}, order(7, 1))
}

func TestErrorsAreFaults(t *testing.T) {
	bad := fake{reply: func(args []string) string {
		if args[0] == "SET" {
			return "-ERR no\r\n"
		}
		return polite(args)
	}}.listen(t)
	_, err := race(t, append(short, "-addr", bad, "-P", "1", "-t", "set")...)
	require.ErrorContains(t, err, "not to be trusted")
	require.ErrorContains(t, err, "ERR no")
	_, err = race(t, append(short, "-addr", bad, "-P", "1", "-t", "get")...)
	require.ErrorContains(t, err, "preparing GET: filling: ERR no")
}

// Who writes to the disk less is faster, and that says nothing else.
func TestUnlikePersistence(t *testing.T) {
	with := func(log string) string {
		return fake{reply: func(args []string) string {
			if args[0] != "CONFIG" {
				return polite(args)
			}
			value := map[string]string{"appendonly": log, "appendfsync": "always"}[args[2]]
			return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(args[2]), args[2], len(value), value)
		}}.listen(t)
	}
	race := func(a, b string) (string, error) {
		return race(t, append(short, "-a", a, "-b", b, "-rounds", "1", "-P", "1", "-t", "ping")...)
	}
	out, err := race(with("no"), with("yes"))
	require.ErrorContains(t, err, "unlike persistence")
	require.Contains(t, out, "append-only file: no, snapshots: never")
	require.Contains(t, out, "append-only file: yes, fsync always, snapshots: never")
	_, err = race(with("yes"), with("yes"))
	require.NoError(t, err)
	_, err = race(fake{reply: polite}.listen(t), with("yes")) // the first does not tell
	require.NoError(t, err)
}

// A test that empties what it takes from is measured again, with more to take.
func TestRunsDry(t *testing.T) {
	addr := redistest.Start(t, t.TempDir())
	o, err := parse(append(short, "-addr", addr, "-t", "spop"), io.Discard)
	require.NoError(t, err)
	source, err := servers.Open(t.Context(), addr)
	require.NoError(t, err)
	s, err := source.Start(t.Context(), "")
	require.NoError(t, err)
	b := &bench{o: o, rep: &report.Report{}, text: &report.Text{Out: io.Discard}, elements: map[string]int{"SPOP10": 100}}
	r, err := b.round(t.Context(), s, s, load.Load{Conns: 2, Pipeline: 10, Threads: 1, Mix: o.mixes[0], Requests: 1000, Client: o.client})
	require.NoError(t, err)
	require.Equal(t, int64(1000), r.Replies)
	require.Equal(t, 1600, b.elements["SPOP10"])
}

func TestTooShort(t *testing.T) {
	l := load.Load{Conns: 50, Pipeline: 64}
	of := func(n int64) *load.Result { return &load.Result{Tally: load.Tally{Replies: n}} }
	require.True(t, tooShort(l, of(6399)))
	require.False(t, tooShort(l, of(6400)))
	l.Requests = 10
	require.False(t, tooShort(l, of(10)), "who asks for ten gets ten")
	l = load.Load{Conns: 50, Pipeline: 64, Rate: 5}
	require.False(t, tooShort(l, of(1)))
}

func TestFlags(t *testing.T) {
	for flags, say := range map[string]string{
		"-addr x -a y": "-addr is one server alone", "-addr x -b y": "-addr is one server alone", "-a=": "which server?",
		"-P 0": "-P 10000", "-P 1,x": `"x" is no depth`, "-c 0": "-c: ", "extra": `what is "extra"?`, "-n -1": "-n: ", "-client io": "-client: one of",
		"-quick -full": "not both", "-agree -full": "not both", "-agree -rate 5": "no open loop", "-agree -t set+get": "no mixes", "-t nosuch": `no test "nosuch"`,
		"-time 0": "-time: ", "-warmup -1s": "-warmup: ", "-r 0": "-r: ", "-d -1": "-d: ", "-rounds 0": "-rounds: ", "-threads 0": "-threads: ", "-keys 0": "-keys: ", "-rate -1": "-rate: ",
	} {
		_, err := parse(strings.Fields(flags), io.Discard)
		require.Error(t, err, flags)
		for word := range strings.FieldsSeq(say) {
			require.ErrorContains(t, err, word, flags)
		}
	}
}

func TestPresets(t *testing.T) {
	of := func(flags string) *options {
		o, err := parse(strings.Fields(flags), io.Discard)
		require.NoError(t, err)
		return o
	}
	require.Equal(t, []string{"capstone", "redis"}, of("").specs())
	require.Equal(t, []string{"x"}, of("-addr x").specs())
	require.Equal(t, []string{"capstone"}, of("-agree").specs())
	require.Equal(t, []int{1, 16, 64}, of("-full").pipelines)
	require.Equal(t, []int{4}, of("-full -P 4").pipelines, "what is given is meant")
	require.Equal(t, 7*time.Second, of("-time 7s -quick").duration)
	require.Less(t, of("-quick").estimate(2), of("").estimate(2))
	require.Less(t, of("").estimate(2), of("-full").estimate(2))
	require.Len(t, of("").mixes, 19)
	// Of large values there are so few that they fit.
	ms, err := of("").mixesFor(condition{tests: "set", size: 1 << 20})
	require.NoError(t, err)
	require.Len(t, ms, 1)
	require.Equal(t, []string{"1 client", "5,000 clients"}, []string{clients(1), clients(5000)})
	require.Equal(t, []string{"3 bytes", "64 KB", "1 MB"}, []string{sizeText(3), sizeText(64 << 10), sizeText(1 << 20)})
}

func TestSaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := race(t, "-addr", "redis")
	require.ErrorContains(t, err, "redis-server is not installed")
	_, err = race(t, "-agree", "-a", "127.0.0.1:1")
	require.ErrorIs(t, err, errNoRedisBenchmark)
}

func TestParseCSV(t *testing.T) {
	table := `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"SET key:__rand_int__ xxx","50000.00","0.600","0.100","0.500","0.900","1.500","9.000"
`
	r, err := parseCSV([]byte(table), 1000)
	require.NoError(t, err)
	require.InEpsilon(t, 50000, r.PerSecond(), 0.001)
	require.Equal(t, uint64(1000), r.Hist.N)
	for q, ms := range map[float64]float64{0.5: 0.5, 0.95: 0.9, 0.99: 1.5, 1: 9} {
		require.InEpsilon(t, ms*1e6, r.Hist.Quantile(q), 0.01)
	}
	for _, bad := range []string{"", "x\n", "a,b,c,d,e,f,g,h\n1,x,3,4,5,6,7,8\n", "\"open"} {
		_, err := parseCSV([]byte(bad), 1)
		require.Error(t, err, bad)
	}
}

// redis-benchmark and the bench do the same work.
func TestAgree(t *testing.T) {
	redistest.Need(t, "redis-server", "redis-benchmark")
	out, err := race(t, "-agree", "-a", "redis", "-n", "500", "-warmup", "0", "-c", "5", "-rounds", "1", "-P", "5", "-t", "ping,set,lpop,lrange_100")
	require.NoError(t, err, out)
	require.Len(t, regexp.MustCompile(`(?m)^(PING_INLINE|PING_MBULK|SET|LPOP|LRANGE_100) +[\d,]+ +[\d,]+ +\d`).FindAllString(out, -1), 5, out)
	require.Contains(t, out, "B  redis-benchmark")
}

// All that -full has works on real servers, with few keys and for a short time.
func TestScenes(t *testing.T) {
	redistest.Need(t, "redis-server")
	was := []time.Duration{settling, pauseTime}
	settling, pauseTime = 0, 150*time.Millisecond
	t.Cleanup(func() { settling, pauseTime = was[0], was[1] })
	o, err := parse([]string{"-a", "redis", "-b", "again=redis", "-full", "-keys", "2000", "-rounds", "1"}, io.Discard)
	require.NoError(t, err)
	var out bytes.Buffer
	b := &bench{o: o, rep: &report.Report{}, text: &report.Text{Out: &out}, elements: map[string]int{}}
	for _, spec := range o.specs() {
		s, err := servers.Open(t.Context(), spec)
		require.NoError(t, err)
		b.sources = append(b.sources, s)
	}
	require.NoError(t, b.scenes(t.Context()), out.String())
	require.Empty(t, b.rep.Faults)
	require.Len(t, b.rep.Groups, 3)
	require.Len(t, b.rep.Groups[0].Figures, len(kinds))
	require.Len(t, b.rep.Groups[1].Figures, 3)
	require.Len(t, b.rep.Groups[2].Figures, 2*len(theDisturbances))
	for _, g := range b.rep.Groups[1:] {
		for _, f := range g.Figures {
			require.True(t, f.Sides[0].Known() && f.Sides[1].Known(), f.Name)
		}
	}
	// Under their own settings servers are started anew, and an address cannot be.
	c := o.more()
	at := slices.IndexFunc(c, func(c condition) bool { return c.args != nil })
	o.requests, o.warmup = 100, 0
	require.NoError(t, b.group(t.Context(), nil, c[at]))
	require.Len(t, b.rep.Groups[3].Tests, 4)
	b.sources = []*servers.Source{{Name: "an address"}}
	require.NoError(t, b.group(t.Context(), nil, c[at]))
	require.Len(t, b.rep.Groups, 4)
	require.NoError(t, b.scenes(t.Context()))
	require.Len(t, b.rep.Groups, 4)
	b.introduce([]*servers.Server{{Name: "an address"}})
	require.Contains(t, b.rep.Options, "without disk, memory, loading and pauses")
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := fake{reply: func(args []string) string {
		if args[0] == "SET" {
			cancel()
		}
		return polite(args)
	}}.listen(t)
	o, err := parse([]string{"-addr", addr, "-t", "set"}, io.Discard)
	require.NoError(t, err)
	require.ErrorIs(t, run(ctx, o, nil, io.Discard), context.Canceled)
}
