package step02

import (
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
)

// The exercises of step 02.

func init() {
	check.Register(2, 1, check.Check{Name: "debug-protocol", What: "DEBUG PROTOCOL shows the types of reply", Run: exEncoder,
		NotRedis: "needs enable-debug-command", Hint: "an array is its header with the count, then that many values; there is no end mark"})
	check.Register(2, 2, check.Check{Name: "four-nothings", What: "GET, LPOP and LRANGE answer nothing, each its own", Run: exNothing,
		Hint: "$-1 is no value, *-1 no list, *0 an empty list, $0 an empty string; LPOP with a count asks for a list"})
	check.Register(2, 3, check.Check{Name: "requirepass", What: "a stranger may say little until AUTH", Run: exAuth, Own: true,
		Hint: "Redis looks for errors in this order: is the command known, is the number of arguments right, has the client given the password?"})
	check.Register(2, 4, check.Check{Name: "hello", What: "HELLO 3 and HELLO 2 change the language of replies", Run: exHello,
		Hint: "the language belongs to the connection, and the reply to HELLO 3 is in RESP3 already"})
	check.Register(2, 5, check.Check{Name: "fuzz", What: "FuzzParser exists, and its seeds pass", Run: exFuzz, Own: true, Slow: 4,
		NotRedis: "it looks at Go code", Hint: "func FuzzParser(f *testing.F) in fuzz_test.go, with at least three f.Add"})
	check.Register(2, 6, check.Check{Name: "one-write", What: "a thousand commands in one go cost few writes, and one command is answered at once", Run: exOneWrite, Own: true,
		NotRedis: "INFO and its own connections count as well", Hint: "write when next says errIncomplete, not after each command"})
}

func exEncoder(t *check.T) {
	c := t.Dial()
	for typ, want := range map[string]string{"string": check.Bulk("Hello World"), "integer": ":12345\r\n", "double": check.Bulk("3.141"), "null": "$-1\r\n",
		"array": "*3\r\n:0\r\n:1\r\n:2\r\n", "map": "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n", "true": ":1\r\n", "false": ":0\r\n"} {
		c.Ask(want, "DEBUG", "PROTOCOL", typ).Ask(want, "debug", "Protocol", strings.ToUpper(typ))
	}
	v := check.Text(c.Do("DEBUG", "PROTOCOL", "nope"))
	t.Require(strings.HasPrefix(v, "ERR Wrong protocol type name."), "-ERR Wrong protocol type name. …", "%s", v)
}

func exNothing(t *check.T) {
	k := t.Key("none")
	t.Dial().Ask("$-1\r\n", "GET", k).Ask("$-1\r\n", "LPOP", k).Ask("*-1\r\n", "LPOP", k, "2").Ask("*0\r\n", "LRANGE", k, "0", "-1").
		Ask("$0\r\n\r\n", "ECHO", "").Ask("$-1\r\n", "get", k).
		Ask(check.Err("ERR wrong number of arguments for 'lpop' command"), "LPOP").
		Ask(check.Err("ERR wrong number of arguments for 'get' command"), "GET").
		Ask(check.Err("ERR wrong number of arguments for 'lrange' command"), "LRANGE", k, "0")
}

func exAuth(t *check.T) {
	s := t.Start(process.Options{Extra: []string{"-requirepass", "sesame"}})
	c := t.DialTo(s)
	noauth := check.Err("NOAUTH Authentication required.")
	c.Ask(noauth, "PING").Ask(noauth, "ECHO", "x").Ask(noauth, "COMMAND").Ask(check.Err("ERR wrong number of arguments for 'echo' command"), "ECHO").
		Ask(check.Err("ERR unknown command 'NOPE', with args beginning with: "), "NOPE")
	const stranger = "the parser must know, when it reads a length, whether it listens to a stranger: at most 10 arguments, of at most 16384 bytes each"
	big := strings.Repeat("x", 16384)
	c.Hint(stranger).Ask(noauth, "ECHO", big).Ask(check.Err("ERR wrong number of arguments for 'echo' command"), "ECHO", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	t.DialTo(s).Send("*11\r\n").Expect("-ERR Protocol error: unauthenticated multibulk length\r\n").ExpectClose()
	t.DialTo(s).Send("*1\r\n$16385\r\n").Expect("-ERR Protocol error: unauthenticated bulk length\r\n").ExpectClose()
	t.Hint("AUTH password or AUTH default password; every other user is wrong, and a right password lifts all limits of this connection")
	wrong := check.Err("WRONGPASS invalid username-password pair or user is disabled.")
	c.Ask(wrong, "AUTH", "open").Ask(wrong, "AUTH", "ann", "sesame").Ask(check.Err("ERR syntax error"), "AUTH", "a", "b", "c").
		Ask(check.Err("ERR wrong number of arguments for 'auth' command"), "AUTH").Ask(noauth, "PING").
		Ask("+OK\r\n", "AUTH", "sesame").Ask("+PONG\r\n", "PING").Ask(check.Bulk(strings.Repeat("x", 20_000)), "ECHO", strings.Repeat("x", 20_000)).
		Ask(wrong, "AUTH", "open").Hint("a wrong password afterwards does not shut the door again").Ask("+PONG\r\n", "PING")
	t.DialTo(s).Ask("+OK\r\n", "auth", "default", "sesame").Ask("+PONG\r\n", "PING")
	t.Require(!strings.Contains(s.Output(), "sesame"), "a server that keeps passwords to itself", "it printed %q", s.Output())
	t.Hint("without the flag all is as before").Dial().Ask("+PONG\r\n", "PING").
		Ask(check.Err("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"), "AUTH", "x")
}

func exHello(t *check.T) {
	c := t.Dial()
	body := func(proto, id string) string {
		return check.Bulk("server") + check.Bulk("redis") + check.Bulk("version") + check.Bulk("7.0.15") + check.Bulk("proto") + ":" + proto + "\r\n" + check.Bulk("id") + ":" + id + "\r\n" +
			check.Bulk("mode") + check.Bulk("standalone") + check.Bulk("role") + check.Bulk("master") + check.Bulk("modules") + "*0\r\n"
	}
	c.Hint("in RESP2, nothing is $-1").Ask("*2\r\n$-1\r\n$-1\r\n", "COMMAND", "INFO", "nope", "neither")
	c.Hint("the language belongs to the connection, and the reply to HELLO 3 is in RESP3 already")
	v := c.Do("HELLO", "3")
	t.Require(v.Kind == '%' && len(v.Elems) == 14, "a map of seven pairs, %7", "%c%s", v.Kind, check.Text(v))
	id := check.Text(v.Elems[7])
	_, err := strconv.Atoi(id)
	t.Require(err == nil, "a number as id", "%s", id)
	c.Ask("%7\r\n"+body("3", id), "HELLO", "3").Ask("%7\r\n"+body("3", id), "HELLO").
		Ask("*2\r\n_\r\n_\r\n", "COMMAND", "INFO", "nope", "neither").
		Ask("*14\r\n"+body("2", id), "HELLO", "2").Ask("*14\r\n"+body("2", id), "HELLO").
		Ask(check.Err("NOPROTO unsupported protocol version"), "HELLO", "4").
		Ask(check.Err("ERR Protocol version is not an integer or out of range"), "HELLO", "abc").
		Ask("*14\r\n"+body("2", id), "HELLO")
	other := t.Dial()
	other.Hint("each connection has its own language").Do("PING")
	v = other.Do("HELLO")
	t.Require(v.Kind == '*' && check.Text(v.Elems[7]) != id, "RESP2 and another id for another connection", "%c%s", v.Kind, check.Text(v))
	if !t.Real() {
		c.Ask("*0\r\n", "COMMAND", "DOCS").Cmd("HELLO", "3").Reply()
		c.Ask("%0\r\n", "COMMAND", "DOCS")
	}
}

func exFuzz(t *check.T) {
	out, ok := t.GoTest("^FuzzParser$")
	t.Require(ok, "go test -run FuzzParser passes", "%s", out)
	n := strings.Count(out, "--- PASS: FuzzParser/")
	t.Require(n >= 3, "at least three seeds (f.Add)", "%d in:\n%s", n, out)
}

func exOneWrite(t *check.T) {
	s := t.Alone()
	c := t.DialTo(s)
	number := func(name string) int {
		v, ok := c.Info()[name]
		n, err := strconv.Atoi(v)
		t.Require(ok && err == nil, "a line "+name+":N in INFO", "%q", v)
		return n
	}
	cmds, reads, writes := number("total_commands_processed"), number("total_reads_processed"), number("total_writes_processed")
	c.Exchange(strings.Repeat("PING\r\n", 1000), strings.Repeat("+PONG\r\n", 1000))
	t.Require(number("total_commands_processed") >= cmds+1000, "1000 commands more", "%d, then %d", cmds, number("total_commands_processed"))
	t.Require(number("total_writes_processed")-writes < 100, "fewer than 100 writes for 1000 commands", "%d", number("total_writes_processed")-writes)
	raw := check.Text(c.Do("INFO"))
	t.Require(strings.HasSuffix(raw, "\r\n") && !strings.Contains(strings.ReplaceAll(raw, "\r\n", ""), "\n"), "lines that end with \\r\\n", "%q", raw)
	t.Require(number("total_reads_processed") > reads, "reads are counted", "%d", number("total_reads_processed"))
	c.Send("PING\r\n*1\r\n$4\r\nPI").Hint("a whole command is answered at once, also with half of the next behind it").Expect("+PONG\r\n")
	time.Sleep(10 * time.Millisecond)
	c.Send("NG\r\n").Expect("+PONG\r\n")
}
