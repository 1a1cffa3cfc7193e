package check

import (
	"fmt"
	"strconv"
	"strings"

	"byor/pkg/resp"
)

// Step 03: a dispatch table, and a map that many clients share.

func init() {
	register(3, 0,
		Check{Name: "set-get", What: "SET stores a value, GET returns it", Run: setGet, Guide: "Build it",
			Hint: "SET key value answers +OK, GET key answers the value as a bulk string"},
		Check{Name: "set-options", What: "SET refuses options that it does not know", Run: setOptions, Guide: "Build it",
			Hint: "the arity of SET is -3, at least three: what stands behind the value is an option, and one that is unknown is ERR syntax error. Nothing is stored then"},
		Check{Name: "get-missing", What: "GET of a missing key is a null", Run: getMissing, Guide: "On the wire",
			Hint: "a missing key is the null bulk string $-1\\r\\n, which is not the empty string $0\\r\\n\\r\\n"},
		Check{Name: "empty-value", What: "an empty value is a value", Run: emptyValue,
			Hint: "whether a key exists is the map's second result (v, ok := m[k]), not whether its value is empty"},
		Check{Name: "binary-safe", What: "keys and values may hold any bytes", Run: binarySafe,
			Hint: "a Go string holds any bytes as they are: convert with string(b), never through text functions (TrimSpace, ToLower, %q, Split)"},
		Check{Name: "value-is-kept", What: "a stored value does not change when later commands arrive", Run: valueKept,
			Hint: "the parser's slices are valid only until it reads on: copy what you keep (string(arg) does)"},
		Check{Name: "case", What: "command names ignore case, keys do not", Run: caseRules,
			Hint: "look up the command's name in one case (case-sensitive names refuse what redis-cli users type), and leave the arguments alone"},
		Check{Name: "del-count", What: "DEL answers how many keys it removed", Run: delCount, Guide: "Build it",
			Hint: "count the keys that were there; DEL takes any number of them"},
		Check{Name: "exists-count", What: "EXISTS counts, twice for a key named twice", Run: existsCount, Guide: "Build it",
			Hint: "EXISTS k k answers 2 when k exists: count arguments, not different keys"},
		Check{Name: "incr", What: "INCR counts from 0 and stores the number as text", Run: incr, Guide: "Build it",
			Hint: "a missing key counts as 0; the answer is an integer (:1), the stored value its decimal digits"},
		Check{Name: "incr-errors", What: "INCR refuses what is no integer, and overflow", Run: incrErrors, Guide: "On the wire",
			Hint: "parse as 64-bit decimal; the old value stays; check for the largest number before you add 1"},
		Check{Name: "arity", What: "a wrong number of arguments is refused by name", Run: arityErrors, Guide: "On the wire",
			Hint: "check the count before the handler runs, in one place; the error names the command in lower case"},
		Check{Name: "unknown-command", What: "an unknown command is named with its first arguments", Run: unknownCommand, Guide: "On the wire",
			Hint: "each argument in quotes with a space behind it, the last too", Before: "step 02 words it so already"},
		Check{Name: "error-keeps-open", What: "a command's error does not close the connection", Run: errorKeepsOpen,
			Hint: "closing on a command error: only a protocol error closes, since only then the place of the next command is unknown"},
		Check{Name: "pipeline-order", What: "pipelined commands see each other's effects, in order", Run: pipelineOrder,
			Hint: "answer a connection's commands one after the other: a goroutine a command loses their order"},
		Check{Name: "incr-atomic", What: "100 clients × 100 INCR make 10,000", Run: incrAtomic, Slow: 3,
			Hint: "INCR as read-modify-write without the lock over all of it: two clients read the same number. Hold one lock from the read to the write"},
		Check{Name: "readers-and-writers", What: "readers and writers at once: nobody waits for ever, nothing crashes", Run: readersWriters, Slow: 3,
			Hint: "RLock then Lock in one goroutine waits for itself, and a map touched without the lock ends the process (fatal error: concurrent map writes)"},
		Check{Name: "command-docs", What: "redis-cli's COMMAND DOCS gets a whole reply and the connection lives", Run: commandDocs,
			Hint: "redis-cli asks COMMAND DOCS when it connects; an empty array (*0\\r\\n) is a good answer", Before: "step 02 answers it too, so that redis-cli can be used there"},
		Check{Name: "large-value", What: "a value of 4 MB is stored and returned", Run: largeValue, Slow: 2,
			Hint: "lengths come from the wire: do not read into a buffer of fixed size"},
	)
}

func setGet(t *T) {
	k := t.Key("k")
	t.Dial().Ask("+OK\r\n", "SET", k, "hello").Ask(Bulk("hello"), "GET", k).
		Ask("+OK\r\n", "SET", k, "world").Ask(Bulk("world"), "GET", k)
	t.Hint("the map is shared by all connections").Dial().Ask(Bulk("world"), "GET", k)
}

func setOptions(t *T) {
	k := t.Key("k")
	t.Dial().Ask(Err("ERR syntax error"), "SET", k, "v", "nonsense").Ask("$-1\r\n", "GET", k).
		Ask("+OK\r\n", "SET", k, "kept").Ask(Err("ERR syntax error"), "SET", k, "v", "non", "sense").Ask(Bulk("kept"), "GET", k)
}

func getMissing(t *T) { t.Dial().Ask("$-1\r\n", "GET", t.Key("missing")) }

func emptyValue(t *T) {
	k := t.Key("empty")
	t.Dial().Ask("+OK\r\n", "SET", k, "").Ask("$0\r\n\r\n", "GET", k).Ask(":1\r\n", "EXISTS", k)
}

func binarySafe(t *T) {
	var b [256]byte
	for i := range b {
		b[i] = byte(i)
	}
	k, c := t.Key("bin")+string(b[:]), t.Dial()
	c.Ask("+OK\r\n", "SET", k, string(b[:])).Ask(Bulk(string(b[:])), "GET", k)
	c.Ask("+OK\r\n", "SET", k+" ", " spaces ").Ask(Bulk(" spaces "), "GET", k+" ").Ask(Bulk(string(b[:])), "GET", k)
}

func valueKept(t *T) {
	a, b, c := t.Key("a"), t.Key("b"), t.Dial()
	c.Ask("+OK\r\n", "SET", a, "first value").Ask("+OK\r\n", "SET", b, "other stuff")
	for range 50 {
		c.Ask("$-1\r\n", "GET", t.Key("filler that overwrites the buffer"))
	}
	c.Ask(Bulk("first value"), "GET", a).Ask(Bulk("other stuff"), "GET", b)
}

func caseRules(t *T) {
	k := t.Key("Case")
	t.Dial().Ask("+OK\r\n", "sEt", k, "V").Ask(Bulk("V"), "get", k).Ask("$-1\r\n", "GET", strings.ToLower(k))
}

func delCount(t *T) {
	a, b, c := t.Key("a"), t.Key("b"), t.Key("c")
	t.Dial().Ask("+OK\r\n", "SET", a, "1").Ask("+OK\r\n", "SET", b, "2").
		Ask(":2\r\n", "DEL", a, b, c).Ask(":0\r\n", "DEL", a).Ask("$-1\r\n", "GET", a).
		Ask("+OK\r\n", "SET", a, "1").Ask(":1\r\n", "DEL", a, a)
}

func existsCount(t *T) {
	a, b := t.Key("a"), t.Key("b")
	t.Dial().Ask(":0\r\n", "EXISTS", a).Ask("+OK\r\n", "SET", a, "1").Ask(":1\r\n", "EXISTS", a, b).Ask(":2\r\n", "EXISTS", a, a)
}

func incr(t *T) {
	k := t.Key("n")
	t.Dial().Ask(":1\r\n", "INCR", k).Ask(":2\r\n", "INCR", k).Ask(Bulk("2"), "GET", k).
		Ask("+OK\r\n", "SET", k, "-5").Ask(":-4\r\n", "INCR", k).Ask(Bulk("-4"), "GET", k)
}

func incrErrors(t *T) {
	k, c := t.Key("n"), t.Dial()
	for _, v := range []string{"abc", "", "1.5", " 1", "9223372036854775808"} {
		c.Ask("+OK\r\n", "SET", k, v).Ask(Err("ERR value is not an integer or out of range"), "INCR", k).Ask(Bulk(v), "GET", k)
	}
	c.Ask("+OK\r\n", "SET", k, "9223372036854775807").Ask(Err("ERR increment or decrement would overflow"), "INCR", k)
}

func arityErrors(t *T) {
	c := t.Dial()
	for _, cmd := range [][]string{{"GET"}, {"GET", "a", "b"}, {"SET", "a"}, {"INCR"}, {"INCR", "a", "b"}, {"DEL"}, {"EXISTS"}, {"ECHO"}} {
		c.Ask(Err("ERR wrong number of arguments for '"+strings.ToLower(cmd[0])+"' command"), cmd...)
	}
}

func unknownCommand(t *T) {
	t.Dial().Ask(Err("ERR unknown command 'FOO', with args beginning with: 'bar' "), "FOO", "bar").
		Ask(Err("ERR unknown command 'foo', with args beginning with: "), "foo").
		Ask(Err("ERR unknown command 'Nope', with args beginning with: 'a' 'b c' "), "Nope", "a", "b c")
}

func errorKeepsOpen(t *T) {
	k, c := t.Key("k"), t.Dial()
	c.Ask(Err("ERR wrong number of arguments for 'get' command"), "GET").Ask("+OK\r\n", "SET", k, "x").
		Ask(Err("ERR value is not an integer or out of range"), "INCR", k).Ask(Bulk("x"), "GET", k)
}

func pipelineOrder(t *T) {
	k := t.Key("n")
	var in []byte
	want := ""
	for i := range 300 {
		in = resp.AppendCommandStrings(in, "SET", k, strconv.Itoa(i))
		in = resp.AppendCommandStrings(in, "INCR", k)
		in = resp.AppendCommandStrings(in, "GET", k)
		want += "+OK\r\n:" + strconv.Itoa(i+1) + "\r\n" + Bulk(strconv.Itoa(i+1))
	}
	t.Dial().Exchange(string(in), want)
}

func incrAtomic(t *T) {
	k := t.Key("n")
	one := string(resp.AppendCommandStrings(nil, "INCR", k))
	t.Parallel(100, func(int) {
		c := t.Dial()
		for range 4 { // bursts, so that clients meet
			c.Send(strings.Repeat(one, 25))
			for range 25 {
				v := c.Reply()
				t.Require(v.Kind == resp.Integer, "an integer for each INCR", "%s", str(v))
			}
		}
	})
	t.Dial().Ask(Bulk("10000"), "GET", k)
}

func readersWriters(t *T) {
	keys := make([]string, 8)
	for i := range keys {
		keys[i] = t.Key("shared")
	}
	t.Parallel(24, func(i int) {
		c := t.Dial()
		for j := range 40 {
			k := keys[(i+j)%len(keys)]
			var in []byte
			for r := range 10 {
				in = resp.AppendCommandStrings(in, "SET", fmt.Sprint(k, r), "1")
				in = resp.AppendCommandStrings(in, "GET", fmt.Sprint(k, r+1))
				in = resp.AppendCommandStrings(in, "INCR", k)
				in = resp.AppendCommandStrings(in, "DEL", fmt.Sprint(k, r+2))
				in = resp.AppendCommandStrings(in, "EXISTS", k, fmt.Sprint(k, r))
			}
			c.Send(string(in))
			for range 50 {
				c.Reply()
			}
		}
	})
	k := t.Key("after")
	t.Dial().Ask("+OK\r\n", "SET", k, "alive").Ask(Bulk("alive"), "GET", k)
}

func commandDocs(t *T) {
	c := t.Dial()
	v := c.Do("COMMAND", "DOCS")
	t.Require(v.Kind == resp.Array || v.Kind == resp.Map || v.IsError(), "an array (or an error)", "%s", str(v))
	c.Ask("+PONG\r\n", "PING")
}

func largeValue(t *T) {
	k, v := t.Key("large"), strings.Repeat("0123456789abcdef", 4<<20/16)
	c := t.Dial()
	c.Exchange(string(resp.AppendCommandStrings(nil, "SET", k, v)), "+OK\r\n")
	c.Exchange(string(resp.AppendCommandStrings(nil, "GET", k)), Bulk(v))
	c.Ask(":1\r\n", "DEL", k)
}
