// Package step10 holds the checks of step 10 and of its exercises: two protocols on one engine. What speaks RESP over
// TCP is asked of a real redis-server, too; what is about the gateway cannot be.
package step10

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

const noGateway = "a real redis-server has no WebSocket gateway"

func init() {
	check.Register(10, 0,
		check.Check{Name: "transaction", What: "MULTI, EXEC, DISCARD and WATCH", Run: transaction,
			Hint: "queue between MULTI and EXEC, run as one unit; a watched key that changed makes EXEC answer a null array"},
		check.Check{Name: "resp3", What: "HELLO 3 switches this connection to RESP3", Run: resp3,
			Hint: "the protocol is a property of the session: maps, nulls and pushes are written by its version"},
		check.Check{Name: "databases", What: "SELECT, and SCAN over many keys", Run: databases, Own: true,
			Hint: "each session has its database; SCAN returns every element that was there all the time"},
		check.Check{Name: "http-on-the-wire", What: "an HTTP request on the RESP port is hung up on", Run: httpOnTheWire,
			Hint: "a browser that was tricked into POSTing to the RESP port must not get commands executed: POST and Host: close"})
}

// gateway registers checks of the gateway.
func gateway(checks ...check.Check) {
	for i := range checks {
		checks[i].Own, checks[i].NotRedis = true, noGateway
		if checks[i].Guide == "" {
			checks[i].Guide = "Build it"
		}
	}
	check.Register(10, 0, checks...)
}

func transaction(t *check.T) {
	a, b, c := t.Key("a"), t.Key("b"), t.Dial()
	c.Ask("+OK\r\n", "MULTI").Ask("+QUEUED\r\n", "SET", a, "1").Ask("+QUEUED\r\n", "INCR", a).Ask("*2\r\n+OK\r\n:2\r\n", "EXEC").
		Ask("+OK\r\n", "MULTI").Ask("+QUEUED\r\n", "SET", a, "9").Ask("+OK\r\n", "DISCARD").Ask(check.Bulk("2"), "GET", a).
		Ask("+OK\r\n", "WATCH", b)
	t.Dial().Ask("+OK\r\n", "SET", b, "changed")
	c.Ask("+OK\r\n", "MULTI").Ask("+QUEUED\r\n", "SET", a, "9").Ask("*-1\r\n", "EXEC").Ask(check.Bulk("2"), "GET", a).
		Ask("+OK\r\n", "MULTI").Ask(check.Err("ERR wrong number of arguments for 'get' command"), "GET").
		Ask(check.Err("EXECABORT Transaction discarded because of previous errors."), "EXEC").Ask(check.Err("ERR EXEC without MULTI"), "EXEC")
}

func resp3(t *check.T) {
	c := t.Dial()
	v := c.Do("HELLO", "3")
	t.Require(v.Kind == resp.Map, "a map (%) in answer to HELLO 3", "%c", v.Kind)
	k := t.Key("none")
	c.Ask("_\r\n", "GET", k).Ask(">3\r\n"+check.Bulk("subscribe")+check.Bulk(k)+":1\r\n", "SUBSCRIBE", k).
		Hint("in RESP3 a subscriber may run any command").Ask("_\r\n", "GET", k)
	t.Dial().Ask(":1\r\n", "PUBLISH", k, "x")
	c.Expect(">3\r\n" + check.Bulk("message") + check.Bulk(k) + check.Bulk("x"))
	t.Dial().Hint("other connections stay in RESP2").Ask("$-1\r\n", "GET", k)
}

func databases(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	c.Ask("+OK\r\n", "SET", "k", "zero").Ask("+OK\r\n", "SELECT", "1").Ask("$-1\r\n", "GET", "k").Ask("+OK\r\n", "SET", "k", "one").
		Ask(check.Err("ERR DB index is out of range"), "SELECT", "16").Ask("+OK\r\n", "SELECT", "0").Ask(check.Bulk("zero"), "GET", "k")
	c.FillKeys("scan:", 3000)
	seen, cursor := map[string]bool{}, "0"
	for range 10_000 {
		v := c.Do("SCAN", cursor, "MATCH", "scan:*")
		t.Require(len(v.Elems) == 2, "a cursor and keys", "%s", check.Text(v))
		for _, e := range v.Elems[1].Elems {
			seen[check.Text(e)] = true
		}
		if cursor = check.Text(v.Elems[0]); cursor == "0" {
			break
		}
		c.Ask("+OK\r\n", "SET", "more:"+cursor, "v") // the table may grow meanwhile
	}
	t.Require(len(seen) == 3000 && cursor == "0", "all 3000 keys, then cursor 0", "%d keys, cursor %s", len(seen), cursor)
}

func httpOnTheWire(t *check.T) {
	for _, in := range []string{"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET hacked 1\r\n", "Host: localhost\r\nSET hacked 1\r\n"} {
		c := t.Dial()
		c.TrySend(in)
		rest := string(c.Rest())
		t.Require(!strings.Contains(rest, "OK"), "nothing executed, the connection closed", "%s", trace.Visible([]byte(rest), 200))
	}
	t.Dial().Ask("$-1\r\n", "GET", "hacked")
}

// withGateway starts a server with its gateway on and returns the gateway's address.
func withGateway(t *check.T, extra ...string) (*process.Server, string) {
	n := fmt.Sprint(t.Port())
	s := t.Start(process.Options{Extra: append([]string{"-http-port", n}, extra...)})
	addr := "127.0.0.1:" + n
	t.Until(t.Limit, "an HTTP server on "+addr, func() (bool, string) {
		res, err := http.Get("http://" + addr + "/healthz")
		if err != nil {
			return false, check.PlainErr(err) + s.Obituary()
		}
		res.Body.Close()
		return true, ""
	})
	for by := t.Deadline(t.Limit); time.Now().Before(by); t.Sleep(10 * time.Millisecond) {
		res, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			break
		}
		if res.Body.Close(); res.StatusCode != http.StatusServiceUnavailable { // it may still be loading
			break
		}
	}
	return s, addr
}
