package server

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// stress is a server under everything at once, with what must hold whatever happens.
type stress struct {
	t      *testing.T
	addr   string
	stop   chan struct{}
	wg     sync.WaitGroup
	mu     sync.Mutex
	pushed map[string]bool
	popped map[string]bool
}

const stressAccounts = 8

// start starts n clients that repeat fn until the time is over.
func (st *stress) start(n int, fn func(c *stressClient, i int)) {
	for i := range n {
		st.wg.Add(1)
		go func() {
			defer st.wg.Done()
			c := &stressClient{st: st, rng: rand.New(rand.NewPCG(uint64(i), 9))}
			defer c.close()
			for round := 0; ; round++ {
				select {
				case <-st.stop:
					return
				default:
				}
				if c.conn == nil && !c.dial() {
					return
				}
				fn(c, round)
			}
		}()
	}
}

// stressClient is a connection that may be killed: then it comes again.
type stressClient struct {
	st   *stress
	conn net.Conn
	rd   *resp.Reader
	rng  *rand.Rand
	seq  int
}

func (c *stressClient) dial() bool {
	conn, err := net.Dial("tcp", c.st.addr)
	if err != nil {
		c.st.t.Error(err)
		return false
	}
	c.conn, c.rd = conn, resp.NewReader(conn)
	return true
}

func (c *stressClient) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// pipeline sends lines in one write and returns the replies, or nil when the connection was cut.
func (c *stressClient) pipeline(lines ...string) []resp.Value {
	c.seq++
	mark := fmt.Sprint("seq", c.seq)
	var wire []byte
	for _, l := range append(lines, "ECHO "+mark) {
		wire = resp.AppendCommandStrings(wire, strings.Fields(l)...)
	}
	c.conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.conn.Write(wire); err != nil {
		c.close()
		return nil
	}
	replies := make([]resp.Value, len(lines)+1)
	for i := range replies {
		v, err := c.rd.ReadValue()
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				c.st.t.Errorf("no reply to %q", lines)
			}
			c.close()
			return nil
		}
		replies[i] = v
	}
	if got := string(replies[len(lines)].Str); got != mark {
		c.st.t.Errorf("replies out of order: %q instead of %q behind %q", got, mark, lines)
		c.close()
		return nil
	}
	return replies[:len(lines)]
}

// transfer moves money between accounts, in one of several ways: the sum stays nought.
func (st *stress) transfer(c *stressClient, i int) {
	from, to, n := c.rng.IntN(stressAccounts), c.rng.IntN(stressAccounts), c.rng.IntN(100)
	move := []string{"MULTI", fmt.Sprintf("DECRBY acct%d %d", from, n), "GET tmp", fmt.Sprintf("INCRBY acct%d %d", to, n), "EXEC"}
	if i%2 == 0 {
		move = append([]string{fmt.Sprintf("WATCH acct%d", from)}, move...)
	}
	c.pipeline(move...)
}

// audit sees all accounts in one moment.
func (st *stress) audit(c *stressClient, _ int) {
	names := make([]string, stressAccounts)
	for i := range names {
		names[i] = fmt.Sprint("acct", i)
	}
	sum := int64(0)
	for _, v := range c.pipeline("MGET " + strings.Join(names, " ")) {
		for _, e := range v.Elems {
			n, _ := resp.ParseInt(e.Str)
			sum += n
		}
	}
	if sum != 0 {
		st.t.Errorf("a transaction was seen half-way: %d", sum)
	}
}

// produce pushes elements; whoever pops one must not see it again.
func (st *stress) produce(c *stressClient, i int) {
	name := fmt.Sprintf("e%d-%d", c.rng.Uint64(), i)
	st.mu.Lock()
	st.pushed[name] = true
	st.mu.Unlock()
	if i%3 == 0 {
		c.pipeline("MULTI", "RPUSH q1 "+name, "SET last "+name, "EXEC")
	} else {
		c.pipeline("RPUSH q1 " + name)
	}
}

func (st *stress) consume(c *stressClient, i int) {
	cmd := "BLPOP q0 q1 0.05"
	if i%3 == 0 {
		cmd = "BRPOP q1 0.001"
	}
	if r := c.pipeline(cmd, "PING"); r != nil && len(r[0].Elems) == 2 {
		st.took(string(r[0].Elems[1].Str))
	}
}

func (st *stress) took(name string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.popped[name] || !st.pushed[name] {
		st.t.Errorf("%s was taken twice, or never given", name)
	}
	st.popped[name] = true
}

// clutter changes keys of all types, with expiry times, in several databases.
func (st *stress) clutter(c *stressClient, _ int) {
	k := c.rng.IntN(50)
	lines := []string{
		fmt.Sprintf("SET tmp%d v PX %d", k, 1+c.rng.IntN(30)), fmt.Sprintf("INCR tmp%d", k+1), fmt.Sprintf("HSET hash%d f%d v", k, c.rng.IntN(200)),
		fmt.Sprintf("SADD set%d %d", k, c.rng.IntN(100)), fmt.Sprintf("SPOP set%d", k), fmt.Sprintf("ZADD z%d %d m%d", k, k, c.rng.IntN(50)),
		fmt.Sprintf("XADD x%d MAXLEN 20 * f v", k%5), fmt.Sprintf("SELECT %d", c.rng.IntN(3)), fmt.Sprintf("COPY hash%d hash%d DB 2 REPLACE", k, k+1),
		"SWAPDB 1 2", fmt.Sprintf("MOVE hash%d 1", k), fmt.Sprintf("EXPIRE z%d 1", k), fmt.Sprintf("APPEND tmp%d x", k), "RANDOMKEY", "SELECT 0",
	}
	c.pipeline(append(lines, fmt.Sprintf("RENAME set%d set%d", k, k+1), fmt.Sprintf("DEL x%d", k%5))...)
}

// operate is what an operator does, all too often.
func (st *stress) operate(c *stressClient, i int) {
	lines := []string{"BGSAVE", "CONFIG SET appendfsync always", "BGREWRITEAOF", "CLIENT LIST", "CONFIG SET appendfsync everysec", "INFO everything",
		"CLIENT PAUSE 3 WRITE", "CLIENT NO-EVICT on", "DEBUG DIGEST", "CLIENT KILL TYPE pubsub", "CONFIG SET hash-max-listpack-entries 5", "SLOWLOG GET",
		"CONFIG SET hash-max-listpack-entries 512", "MEMORY STATS", "CLIENT PAUSE 1 ALL", "LATENCY HISTOGRAM"}
	c.pipeline(lines[i%len(lines)], "WAIT 1 1")
	if i%5 == 0 { // whoever that is; the caller's own connection stays
		c.pipeline(fmt.Sprintf("CLIENT KILL ID %d SKIPME yes", 1+c.rng.IntN(60)))
	}
}

// rude clients leave in the middle of a command, do not read, or send what is no command.
func (st *stress) rude(c *stressClient, i int) {
	in := []string{"*3\r\n$3\r\nSET\r\n$1\r\nr", "BLPOP never 0\r\nPING\r\n", "*x\r\n", "SUBSCRIBE ch\r\nPING\r\nQUIT\r\n", "MULTI\r\nSET r 1\r\n",
		"WATCH acct0\r\n", "DEBUG SLEEP 0\r\nMONITOR\r\n", "BLPOP q1 0.01\r\n*1\r\n!\r\n"}
	if i%8 == 7 {
		return // that one would take an element with it
	}
	c.conn.Write([]byte(in[i%8]))
	if tc := c.conn.(*net.TCPConn); i%2 == 0 {
		tc.SetLinger(0) // a reset instead of an end
	}
	c.close()
}

// listen hears each publisher's messages in order.
func (st *stress) listen(c *stressClient, i int) {
	fmt.Fprint(c.conn, "HELLO 3\r\nSUBSCRIBE ch\r\nPSUBSCRIBE c?\r\n")
	last := map[string]int{}
	for {
		c.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		v, err := c.rd.ReadValue()
		if err != nil {
			c.close()
			return
		}
		if len(v.Elems) < 3 || string(v.Elems[0].Str) != "message" {
			continue
		}
		var who string
		var n int
		fmt.Sscan(strings.Replace(string(v.Elems[2].Str), ":", " ", 1), &who, &n)
		if n <= last[who] {
			st.t.Errorf("message %d of %s after %d", n, who, last[who])
		}
		last[who] = n
	}
}

func (st *stress) publish(c *stressClient, i int) {
	c.pipeline(fmt.Sprintf("PUBLISH ch p%p:%d", c.rng, i+1))
}

// TestStress does everything at once for a while, under the race detector in CI, and looks whether what
// must hold held: on the server, on two replicas, and in the append-only file.
func TestStress(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		s, addr := startServer(t, append(options, "--appendonly", "yes", "--repl-diskless-sync-delay", "0")...)
		host, port, _ := net.SplitHostPort(addr)
		_, first := startServer(t, "--replicaof", host, port, "--io-threads", "0", "--appendonly", "yes")
		_, second := startServer(t, "--replicaof", host, port)
		st := &stress{t: t, addr: addr, stop: make(chan struct{}), pushed: map[string]bool{}, popped: map[string]bool{}}
		st.start(4, st.transfer)
		st.start(2, st.audit)
		st.start(2, st.produce)
		st.start(3, st.consume)
		st.start(2, st.clutter)
		st.start(1, st.operate)
		st.start(2, st.rude)
		st.start(2, st.listen)
		st.start(2, st.publish)
		timer := time.AfterFunc(700*time.Millisecond, func() { close(st.stop) })
		defer timer.Stop()
		st.wg.Wait()
		st.settle(s, first, second)
	})
}

// values returns the digest of every key's value, for a message that says which one differs.
func (st *stress) values(c *testConn) map[string]string {
	all := map[string]string{}
	for i := range 16 {
		c.do(fmt.Sprint("SELECT ", i))
		for _, k := range c.do("KEYS *").Elems {
			c.send("DEBUG", "DIGEST-VALUE", string(k.Str))
			all[fmt.Sprint(i, " ", string(k.Str))] = show(c.read()) + show(c.do("PEXPIRETIME "+string(k.Str))) + show(c.do("TYPE "+string(k.Str)))
		}
	}
	return all
}

// expires counts the keys of all databases that have an expiry time. The engine's lock must be held.
func expires(s *Server) (n int) {
	for i := range 16 {
		n += s.eng.Store.DB(i).Expires()
	}
	return n
}

// settle waits until nothing changes any more and compares.
func (st *stress) settle(s *Server, replicas ...string) {
	t := st.t
	c := dial(t, st.addr)
	c.do("CLIENT UNPAUSE")
	for v := c.do("LPOP q1"); !v.Null; v = c.do("LPOP q1") {
		st.took(string(v.Str))
	}
	require.Eventually(t, func() bool {
		s.eng.Lock()
		defer s.eng.Unlock()
		waiting, watched := s.eng.Interest()
		return len(s.clients) == 1+len(replicas) && len(s.eng.Blocked) == 0 && waiting == 0 && watched == 0 && len(s.monitors) == 0
	}, time.Minute, 5*time.Millisecond)
	for i := range 16 {
		c.do(fmt.Sprint("SELECT ", i))
		for _, k := range c.do("KEYS *").Elems { // from here on nothing changes by itself
			c.send("PERSIST", string(k.Str))
			c.read()
		}
	}
	require.Eventually(t, func() bool { // what has expired already is deleted soon
		s.eng.Lock()
		defer s.eng.Unlock()
		return expires(s) == 0
	}, time.Minute, 5*time.Millisecond)
	c.do("SET the last") // what WAIT is to wait for
	c.want(fmt.Sprintf("WAIT %d 10000", len(replicas)), fmt.Sprint(":", len(replicas)))
	digest := c.do("DEBUG DIGEST")
	for _, r := range replicas {
		require.Eventually(t, func() bool { return show(dial(t, r).do("DEBUG DIGEST")) == show(digest) }, time.Minute, 20*time.Millisecond)
	}
	before := st.values(c)
	c.want("DEBUG LOADAOF", "+OK")
	require.Equal(t, before, st.values(c))
}
