package diff

import (
	"byor/pkg/redistest"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// The same scripts on real Redis and on this server, replies compared, in RESP2 and in RESP3. A script
// in testdata/diff is a command a line as one would type it into redis-cli. Around it:
//
//	# …               a comment
//	~ XADD s * f v    a command in whose reply every number counts as 0
//	? SPOP s          a command whose reply does not count
//	a> BLPOP k 0      a command for another connection, which is expected to wait
//	a<                and the reply to it
//
// and for what that cannot say:
//
//	@once             first line: the script chooses its protocols itself
//	@resp3, @resp2    the next commands speak it
//	@unordered        the order of the elements of the next reply does not count
//	@numbers          in the next reply every number counts as 0
//	@type             of the next reply, and of the elements in it, only the types count
//	@words            of the strings in the next reply, the order of the words does not count
//	@log              the next reply is ACL LOG's, in which a client's address and memory and the time do not count
//	@conn NAME        the next commands go over another connection (the first is called "main")
//	@send             the next command is sent, no reply read
//	@recv [N]         one more reply, or N, are read and compared
//	@sleep MS         real time passes on both
//	@close NAME       a connection is closed, and forgotten by the server
//
// A word %NAME% is the ID of the client on that connection.
//
// Every script begins with empty databases and fresh connections.

var (
	diffSeed  = flag.Uint64("diff.seed", 1, "seed of the random commands; 0 draws one, as make diff-redis does")
	diffCount = flag.Int("diff.n", 10000, "random commands for each group")
)

func TestDiffScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/scripts/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	redis := startRedis(t)
	ours := startServer(t)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, proto := range []string{"2", "3"} {
			if proto == "3" && strings.HasPrefix(string(text), "@once\n") {
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(f), ".txt")+"/RESP"+proto, func(t *testing.T) {
				runScript(t, string(text), proto, ours, redis)
			})
		}
	}
}

// script is a script under way.
type script struct {
	t           *testing.T
	ours, redis *side
	name        string // of the connection
	mode        string // how the next reply is compared
	where       string // the line, for messages
	deaf        bool   // replies are not compared
	sent        int    // commands that were sent and may still be on their way
}

var otherConn = regexp.MustCompile(`^([a-z])([<>]) ?(.*)$`)

func runScript(t *testing.T, text, proto, ours, redis string) {
	newScript(t, proto, ours, redis).run(text, func() {})
}

func newScript(t *testing.T, proto, ours, redis string) *script {
	return &script{t: t, name: "main",
		ours:  &side{addr: ours, proto: proto, conns: map[string]*redistest.Client{}},
		redis: &side{addr: redis, proto: proto, conns: map[string]*redistest.Client{}}}
}

// run runs a script, and calls after behind each line.
func (sc *script) run(text string, after func()) {
	t := sc.t
	defer func() {
		if t.Failed() {
			t.Log("until", sc.where)
		}
	}()
	sc.both("main", "FLUSHALL")
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		sc.where = fmt.Sprintf("line %d: %s", n+1, line)
		switch m := otherConn.FindStringSubmatch(line); {
		case line == "" || line[0] == '#':
		case m != nil && m[2] == "<":
			sc.compare(sc.ours.conn(t, m[1]).Read(), sc.redis.conn(t, m[1]).Read())
		case m != nil:
			sc.ours.sendAndWait(t, m[1], m[3], sc.where)
			sc.redis.sendAndWait(t, m[1], m[3], sc.where)
		case line[0] == '@':
			sc.directive(line)
		case strings.HasPrefix(line, "~ ") || strings.HasPrefix(line, "? "):
			sc.mode = line[:1]
			sc.compare(sc.both(sc.name, line[2:]))
		case sc.mode == "@send":
			sc.mode = ""
			sc.send(line)
		default:
			sc.compare(sc.both(sc.name, line))
		}
		if sc.sent == 0 {
			after()
		}
	}
}

// send sends a command and does not wait for a reply.
func (sc *script) send(line string) {
	for _, s := range []*side{sc.ours, sc.redis} {
		c := s.conn(sc.t, sc.name)
		if sc.sent == 0 {
			s.ran = s.commandsRun(sc.t)
		}
		c.Send(redistest.Words(sc.t, s.with(sc.t, line))...)
	}
	sc.sent++
}

// settle waits until what was sent has run, though nobody reads a reply that says so.
func (sc *script) settle() {
	for _, s := range []*side{sc.ours, sc.redis} {
		asked := 0
		require.Eventually(sc.t, func() bool {
			asked++
			return s.commandsRun(sc.t)-s.ran-asked >= sc.sent
		}, time.Minute, time.Millisecond, sc.where)
	}
	sc.sent = 0
}

func (sc *script) both(conn, line string) (ours, redis resp.Value) {
	return sc.ours.conn(sc.t, conn).Do(sc.ours.with(sc.t, line)), sc.redis.conn(sc.t, conn).Do(sc.redis.with(sc.t, line))
}

func (sc *script) directive(line string) {
	switch word, arg, _ := strings.Cut(line, " "); word {
	case "@once":
	case "@resp3", "@resp2":
		sc.both(sc.name, "HELLO "+word[5:])
	case "@conn":
		if sc.sent > 0 {
			sc.settle()
		}
		sc.name = arg
	case "@sleep":
		ms, err := strconv.Atoi(arg)
		require.NoError(sc.t, err, sc.where)
		time.Sleep(time.Duration(ms) * time.Millisecond)
	case "@recv":
		n := 1
		if arg != "" {
			n, _ = strconv.Atoi(arg)
		}
		for range n {
			sc.compare(sc.ours.conn(sc.t, sc.name).Read(), sc.redis.conn(sc.t, sc.name).Read())
		}
	case "@close":
		sc.ours.close(sc.t, arg)
		sc.redis.close(sc.t, arg)
	case "@unordered", "@type", "@words", "@log", "@send":
		sc.mode = word
	case "@numbers":
		sc.mode = "~"
	default:
		sc.t.Fatalf("%s: no such directive", sc.where)
	}
}

// sendAndWait sends a command that is expected to block, and waits until it does.
func (s *side) sendAndWait(t testing.TB, name, line, where string) {
	t.Helper()
	before := s.blocked(t)
	s.conn(t, name).Send(redistest.Words(t, line)...)
	require.Eventually(t, func() bool { return s.blocked(t) > before }, time.Minute, time.Millisecond, "%s does not wait", where)
}

// commandsRun returns how many commands the server has run, this one not counted.
func (s *side) commandsRun(t testing.TB) int {
	m := commandsProcessed.FindSubmatch(s.conn(t, "@watcher").Do("INFO stats").Str)
	require.NotNil(t, m)
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

var commandsProcessed = regexp.MustCompile(`total_commands_processed:(\d+)`)

var blockedClients = regexp.MustCompile(`blocked_clients:(\d+)`)

// blocked returns how many clients wait on the server.
func (s *side) blocked(t testing.TB) int {
	m := blockedClients.FindSubmatch(s.conn(t, "@watcher").Do("INFO clients").Str)
	require.NotNil(t, m)
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

var digits = regexp.MustCompile(`[0-9]+`)

func (sc *script) compare(ours, redis resp.Value) {
	sc.t.Helper()
	sc.sent = 0 // what came before this reply has run
	mode := sc.mode
	if sc.mode = ""; sc.deaf {
		return
	}
	print := redistest.Show
	switch mode {
	case "?":
		return
	case "~":
		print = func(v resp.Value) string { return digits.ReplaceAllString(redistest.Show(v), "0") }
	case "@unordered":
		print = func(v resp.Value) string { redistest.SortElems(&v); return redistest.Show(v) }
	case "@type":
		print = shape
	case "@words":
		print = func(v resp.Value) string { redistest.EachString(&v, redistest.SortWords); return redistest.Show(v) }
	case "@log":
		print = func(v resp.Value) string {
			redistest.EachString(&v, whoWasDenied)
			return ageSeconds.ReplaceAllString(redistest.Show(v), "$1")
		}
	}
	if want, got := print(redis), print(ours); want != got {
		sc.t.Errorf("%s\nreal Redis: %s\nours:       %s", sc.where, want, got)
	}
}

var (
	deniedClient = regexp.MustCompile(`^id=.* (db=\d+) .* (user=\S+) .*$`)
	ageSeconds   = regexp.MustCompile(`("age-seconds") [",][0-9.]+"?`)
)

// whoWasDenied leaves of a client's line in ACL LOG what does not differ from server to server.
func whoWasDenied(s string) string { return deniedClient.ReplaceAllString(s, "$1 $2") }

func shape(v resp.Value) string {
	if v.IsError() {
		return redistest.Show(v)
	}
	s := string(rune(v.Kind))
	if v.Null {
		s += "nil"
	}
	if len(v.Elems) > 0 {
		s += "["
		for _, e := range v.Elems {
			s += shape(e)
		}
		s += "]"
	}
	return s
}

// generators make random commands, a group each. They draw from few keys, fields and values, so
// that commands meet each other's results; they avoid what is random in Redis itself.
var generators = map[string]func(r *rand.Rand) []string{}

// seedOfDiffs returns the seed of the random commands. `make test` sends the same ones each time, so that it does
// not fail by luck; `make diff-redis` looks for what nobody has seen yet.
func seedOfDiffs(t *testing.T) uint64 {
	seed := *diffSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d: repeat with -diff.seed=%d", seed, seed)
	return seed
}

func TestDiffRandom(t *testing.T) {
	seed := seedOfDiffs(t)
	redis := startRedis(t)
	ours := startServer(t)
	names := slices.Sorted(maps.Keys(generators))
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, uint64(len(name))))
			randomCommands(t, r, generators[name], *diffCount, ours, redis, seed)
		})
	}
	t.Run("all", func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 99))
		all := func(r *rand.Rand) []string { return generators[names[r.IntN(len(names))]](r) }
		randomCommands(t, r, all, *diffCount, ours, redis, seed)
	})
}

// randomCommands sends pipelines of commands to both and compares reply by reply, and at the end
// the data sets.
func randomCommands(t *testing.T, r *rand.Rand, gen func(*rand.Rand) []string, n int, ours, redis string, seed uint64) {
	a, b := redistest.Connect(t, ours), redistest.Connect(t, redis)
	a.Do("FLUSHALL")
	b.Do("FLUSHALL")
	const pipeline = 200
	var history [][]string
	for done := 0; done < n; done += pipeline {
		var cmds [][]string
		var wire []byte
		for range pipeline {
			args := gen(r)
			cmds = append(cmds, args)
			wire = resp.AppendCommandStrings(wire, args...)
		}
		for _, c := range []*redistest.Client{a, b} {
			_, err := c.Conn.Write(wire)
			require.NoError(t, err)
		}
		for i, args := range cmds {
			history = append(history, args)
			x, y := a.Read(), b.Read()
			level(args[0], &x, &y)
			if sx, sy := comparableReply(args, x), comparableReply(args, y); sx != sy {
				t.Fatalf("seed %d, command %d: %q\n  Redis: %s\n  ours:  %s\nbefore it: %q", seed, done+i, args, sy, sx, about(history, args))
			}
		}
	}
	compareData(t, a, b)
}

// level makes two replies about time equal that differ only because the two servers were given a
// relative time a moment apart.
func level(cmd string, x, y *resp.Value) {
	switch strings.ToLower(cmd) {
	case "expiretime", "pexpiretime", "ttl", "pttl":
		if d := x.Int - y.Int; x.Int > 0 && y.Int > 0 && -10_000 < d && d < 10_000 {
			x.Int = y.Int
		}
	}
}

// comparableReply prints a reply so that two servers' can be compared: without the order where Redis
// promises none.
func comparableReply(args []string, v resp.Value) string {
	switch strings.ToLower(args[0]) {
	case "smembers", "sunion", "sinter", "sdiff", "hkeys", "hvals", "keys":
		redistest.SortElems(&v)
	case "hgetall":
		v.Kind = resp.Map
		redistest.SortElems(&v)
	}
	return redistest.Show(v)
}

// about returns the latest commands that name the same keys.
func about(history [][]string, args []string) [][]string {
	var found [][]string
	for i := len(history) - 2; i >= 0 && len(found) < 12; i-- {
		for _, a := range args[1:] {
			if slices.Contains(history[i][1:], a) && strings.HasPrefix(a, "k") {
				found = append(found, history[i])
				break
			}
		}
	}
	slices.Reverse(found)
	return found
}

// compareData compares all keys of database 0: type, encoding, expiry and, where both know DUMP and
// the encoding fixes the order, the bytes.
func compareData(t *testing.T, a, b *redistest.Client) {
	t.Helper()
	keys := b.Do("KEYS *")
	mine := a.Do("KEYS *")
	redistest.SortElems(&keys)
	redistest.SortElems(&mine)
	require.Equal(t, redistest.Show(keys), redistest.Show(mine))
	for _, k := range keys.Elems {
		key := strconv.Quote(string(k.Str))
		for _, cmd := range []string{"TYPE", "OBJECT ENCODING", "PEXPIRETIME"} {
			x, y := a.Do(cmd+" "+key), b.Do(cmd+" "+key)
			level(cmd, &x, &y)
			require.Equal(t, redistest.Show(y), redistest.Show(x), cmd+" "+key)
		}
		compareBytes(t, a, b, key)
	}
}

// compareBytes compares a key's bytes in memory, where Redis's encoding leaves no choice of order,
// down to how a list's nodes were split and joined: Redis restores what our DUMP says, and must
// dump it again as it dumps its own.
func compareBytes(t *testing.T, a, b *redistest.Client, key string) {
	t.Helper()
	switch string(b.Do("OBJECT ENCODING " + key).Str) {
	case "listpack", "quicklist", "intset":
	default:
		return
	}
	b.Do("CONFIG SET rdbcompression no") // two compressors may differ and both be right
	b.Send("RESTORE", "restored", "0", string(a.Do("DUMP "+key).Str), "REPLACE")
	require.Equal(t, "+OK", redistest.Show(b.Read()), key)
	require.Equal(t, redistest.Show(b.Do("DUMP "+key)), redistest.Show(b.Do("DUMP restored")), key)
}

func pick(r *rand.Rand, s ...string) string { return s[r.IntN(len(s))] }

// some returns between lo and hi draws of fn.
func some(r *rand.Rand, lo, hi int, fn func(*rand.Rand) string) []string {
	n := lo + r.IntN(hi-lo+1)
	s := make([]string, n)
	for i := range s {
		s[i] = fn(r)
	}
	return s
}

func anyKey(r *rand.Rand) string { return "k" + strconv.Itoa(r.IntN(8)) }

func anyInt(r *rand.Rand) string {
	return pick(r, "0", "1", "-1", "2", "3", "5", "10", "-2", "-3", "-100", "100", "9223372036854775807", "-9223372036854775808", "x", "1.5", "")
}

func anyValue(r *rand.Rand) string {
	return pick(r, "", "a", "b", "abc", "hello world", "1", "2", "-7", "10", "12345678901234567890", "3.25", "1e5", "\x00\xff\r\n",
		strings.Repeat("x", 44), strings.Repeat("y", 45), strings.Repeat("z", 70), " 1", "01", "+1", "inf", "nan")
}
