package step03

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/resp"
)

// The exercises of step 03.

const (
	NotInteger = "ERR value is not an integer or out of range"
	overflow   = "ERR increment or decrement would overflow"
)

func init() {
	check.Register(3, 1, check.Check{Name: "incrby", What: "DECR, INCRBY and DECRBY count, and refuse overflow", Run: exIncrBy,
		Hint: "all four commands are one function with another number; ask before you add, since Go wraps around in silence"})
	check.Register(3, 2, check.Check{Name: "set-options", What: "SET NX, XX and GET", Run: exSetOptions,
		Hint: "parse all options first, then decide once whether to store; with GET the reply is the old value, stored or not"})
	check.Register(3, 3, check.Check{Name: "mset-mget", What: "MSET and MGET, and nobody sees half of one", Run: exMset, Slow: 2,
		Hint: "hold the lock for the whole command: then other commands see all of it or nothing"})
	check.Register(3, 4, check.Check{Name: "shards", What: "-shards N, and every command stays indivisible", Run: exShards, Own: true, Slow: 3,
		NotRedis: "one thread needs no shards", Hint: "before a command runs, lock all shards that it needs, in ascending order and each once"})
	check.Register(3, 5, check.Check{Name: "executor", What: "all checks of the step pass with -executor", Run: exExecutor, Own: true, Slow: 6,
		NotRedis: "it is one", Hint: "one goroutine owns the map; connections send it their commands and wait until it is done"})
	check.Register(3, 6, check.Check{Name: "info-bytes", What: "INFO counts clients, commands and bytes", Run: exInfoBytes, Own: true,
		NotRedis: "redis-server counts at slightly other moments", Hint: "count in a Read and a Write of your own, around the connection's, with atomic counters"})
}

func exIncrBy(t *check.T) {
	k, c := t.Key("n"), t.Dial()
	c.Ask(":-1\r\n", "DECR", k).Ask(":9\r\n", "INCRBY", k, "10").Ask(":4\r\n", "DECRBY", k, "5").Ask(":14\r\n", "DECRBY", k, "-10").Ask(check.Bulk("14"), "GET", k).
		Ask(check.Err(NotInteger), "INCRBY", k, "x").Ask(check.Err(NotInteger), "INCRBY", k, "9223372036854775808").Ask(check.Err(NotInteger), "DECRBY", k, "1.5").
		Ask(check.Err(overflow), "INCRBY", k, "9223372036854775807").Ask(check.Bulk("14"), "GET", k).
		Ask("+OK\r\n", "SET", k, "-9223372036854775808").Ask(check.Err(overflow), "DECR", k).Ask(check.Err(overflow), "DECRBY", k, "1").
		Ask(check.Err(overflow), "INCRBY", k, "-1").Ask(":-9223372036854775807\r\n", "INCRBY", k, "1").
		Ask(check.Err("ERR decrement would overflow"), "DECRBY", k, "-9223372036854775808").
		Ask("+OK\r\n", "SET", k, "abc").Ask(check.Err(NotInteger), "DECR", k).Ask(check.Err("ERR wrong number of arguments for 'incrby' command"), "INCRBY", k)
}

func exSetOptions(t *check.T) {
	k, c := t.Key("k"), t.Dial()
	c.Ask("$-1\r\n", "SET", k, "a", "XX").Ask("$-1\r\n", "GET", k).Ask("+OK\r\n", "SET", k, "a", "NX").Ask("$-1\r\n", "SET", k, "b", "nx").
		Ask(check.Bulk("a"), "GET", k).Ask("+OK\r\n", "SET", k, "b", "xx").Ask(check.Bulk("b"), "SET", k, "c", "GET").Ask(check.Bulk("c"), "GET", k).
		Ask(check.Bulk("c"), "SET", k, "d", "NX", "GET").Ask(check.Bulk("c"), "GET", k).Ask(check.Bulk("c"), "SET", k, "d", "get", "xx").Ask(check.Bulk("d"), "GET", k)
	m := t.Key("m")
	c.Ask("$-1\r\n", "SET", m, "v", "GET", "XX").Ask("$-1\r\n", "GET", m).Ask("$-1\r\n", "SET", m, "v", "GET", "NX").Ask(check.Bulk("v"), "GET", m)
	for _, opts := range [][]string{{"NX", "XX"}, {"XX", "GET", "NX"}, {"NOPE"}, {"NX", "NOPE"}} {
		c.Ask(check.Err("ERR syntax error"), append([]string{"SET", m, "bad"}, opts...)...).Ask(check.Bulk("v"), "GET", m)
	}
}

func exMset(t *check.T) {
	a, b, c := t.Key("a"), t.Key("b"), t.Dial()
	t.Hint("MSET takes pairs, so with its name it has an odd number of arguments, and any other is refused before anything is stored; MGET answers an array of one value or null a key")
	c.Ask("+OK\r\n", "MSET", a, "1", b, "2").Ask("*3\r\n"+check.Bulk("2")+"$-1\r\n"+check.Bulk("1"), "MGET", b, t.Key("none"), a).
		Ask("+OK\r\n", "MSET", a, "x", a, "y").Ask("*1\r\n"+check.Bulk("y"), "MGET", a).
		Ask(check.Err("ERR wrong number of arguments for 'mset' command"), "MSET", a, "z", b).
		Ask(check.Err("ERR wrong number of arguments for 'mset' command"), "MSET", a).
		Ask(check.Err("ERR wrong number of arguments for 'mget' command"), "MGET").Ask("*2\r\n"+check.Bulk("y")+check.Bulk("2"), "MGET", a, b)
	t.Hint("hold the lock for the whole command: then other commands see all of it or nothing")
	c.Ask("+OK\r\n", "MSET", a, "0", b, "0")
	pairs(t, t.Server(), func(w *check.Conn, n int) []byte {
		return resp.AppendCommandStrings(nil, "MSET", a, strconv.Itoa(n), b, strconv.Itoa(n))
	}, func(r *check.Conn) {
		v := r.Do("MGET", a, b)
		t.Require(len(v.Elems) == 2 && check.Text(v.Elems[0]) == check.Text(v.Elems[1]), "two equal numbers", "%s", check.Text(v))
	})
}

// pairs has two clients write what next makes, in bursts, while four others look.
func pairs(t *check.T, s *process.Server, next func(w *check.Conn, n int) []byte, look func(*check.Conn)) {
	end := time.Now().Add(400 * time.Millisecond)
	t.Parallel(6, func(i int) {
		c := t.DialTo(s)
		for n := i; time.Now().Before(end); n += 100 {
			if i >= 2 {
				look(c)
				continue
			}
			var in []byte
			for j := range 50 {
				in = append(in, next(c, n+j)...)
			}
			c.Send(string(in))
			for range 50 {
				c.Reply()
			}
		}
	})
}

func exShards(t *check.T) {
	s := t.Start(process.Options{Extra: []string{"-shards", "5"}})
	c := t.DialTo(s)
	t.Require(c.Info()["shards"] == "8", "shards:8 for -shards 5, the next power of two", "%q", c.Info()["shards"])
	t.Require(t.Dial().Info()["shards"] == "16", "shards:16 without the flag", "%q", t.Dial().Info()["shards"])
	for i := range 8 { // keys of which some pairs lie on two shards
		a, b := fmt.Sprint("a", i), fmt.Sprint("b", i)
		c.Ask("+OK\r\n", "SET", a, "1").Ask("+OK\r\n", "SET", b, "1").Ask(":2\r\n", "EXISTS", a, b).Ask(":2\r\n", "DEL", b, a).Ask(":0\r\n", "EXISTS", a, b)
	}
	crossing(t, s)
	allOrNothing(t, s)
	t.AllPass(s, check.Of(3, 0))
}

// crossing has clients lock pairs of keys in either order.
func crossing(t *check.T, s *process.Server) {
	t.Hint("two commands wait for each other's shards: lock in ascending order, whatever the order of the keys, and each shard once")
	t.Parallel(8, func(i int) {
		c := t.DialTo(s)
		for range 60 {
			var in []byte
			for j := range 20 {
				a, b := fmt.Sprint("a", j%8), fmt.Sprint("b", (i+j)%8)
				in = resp.AppendCommandStrings(in, "DEL", a, b)
				in = resp.AppendCommandStrings(in, "EXISTS", b, a, a)
			}
			c.Send(string(in))
			for range 40 {
				c.Reply()
			}
		}
	})
}

// allOrNothing has clients look at pairs of keys that another deletes meanwhile, pair by pair.
func allOrNothing(t *check.T, s *process.Server) {
	const pairs = 200
	var del, look, set []byte
	for i := range pairs {
		a, b := fmt.Sprint("left", i), fmt.Sprint("right", i)
		set = resp.AppendCommandStrings(resp.AppendCommandStrings(set, "SET", a, "1"), "SET", b, "1")
		del = resp.AppendCommandStrings(del, "DEL", a, b)
		look = resp.AppendCommandStrings(look, "EXISTS", a, b)
	}
	c := t.DialTo(s)
	for range 40 {
		c.Exchange(string(set), strings.Repeat("+OK\r\n", 2*pairs))
		t.Parallel(4, func(i int) {
			if i == 0 {
				c.Exchange(string(del), strings.Repeat(":2\r\n", pairs))
				return
			}
			r := t.DialTo(s).Send(string(look))
			for range pairs {
				if n := r.Reply().Int; n != 0 && n != 2 {
					t.Hint("EXISTS a b saw half of DEL a b: lock all shards of a command before it runs, and unlock them when it is over").
						Fail("both keys of a pair, or neither", fmt.Sprint(n))
				}
			}
			r.Close()
		})
	}
}

func exExecutor(t *check.T) {
	t.AllPass(t.Start(process.Options{Extra: []string{"-executor"}}), check.Of(3, 0))
}

func exInfoBytes(t *check.T) {
	s := t.Alone()
	c := t.DialTo(s)
	num := func(m map[string]string, name string) int {
		n, err := strconv.Atoi(m[name])
		t.Require(err == nil, "a line "+name+":N in INFO", "%q", m[name])
		return n
	}
	t.Until(t.Limit, "connected_clients:1", func() (bool, string) { // the look whether it listens is over
		v := c.Info()["connected_clients"]
		return v == "1", v
	})
	first := c.Info()
	conns := num(first, "total_connections_received")
	others := []*check.Conn{t.DialTo(s).Ask("+PONG\r\n", "PING"), t.DialTo(s).Ask("+PONG\r\n", "PING")}
	before := c.Info()
	t.Require(num(before, "connected_clients") == num(first, "connected_clients")+2, "two clients more", "%v", before)
	t.Require(num(before, "total_connections_received") == conns+2, "two connections more", "%v", before)
	others[0].Close()
	t.Until(t.Limit, "connected_clients falls when one leaves", func() (bool, string) {
		v := c.Info()["connected_clients"]
		return v == strconv.Itoa(num(before, "connected_clients")-1), v
	})
	before = c.Info()
	out := num(before, "total_net_output_bytes")
	c.Send("PING\r\nPING\r\n").Expect("+PONG\r\n+PONG\r\n")
	after := c.Info()
	infoIn := len(resp.AppendCommandStrings(nil, "INFO"))
	t.Require(num(after, "total_net_input_bytes") == num(before, "total_net_input_bytes")+12+infoIn,
		fmt.Sprintf("%d bytes more of input: two PINGs and this INFO", 12+infoIn), "%v, then %v", before, after)
	t.Require(num(after, "total_commands_processed") == num(before, "total_commands_processed")+3, "three commands more: INFO, PING, PING", "%v, then %v", before, after)
	grown := num(after, "total_net_output_bytes") - out
	t.Require(grown > 14 && grown < 14+4096, "output grown by two +PONG and the INFO before", "%d", grown)
	fresh := t.DialTo(s)
	base := num(c.Info(), "total_net_input_bytes")
	v := ""
	for _, l := range strings.Split(bulk(fresh.Send("PING\r\nPING\r\nINFO\r\n").Expect("+PONG\r\n+PONG\r\n")), "\r\n") {
		if n, ok := strings.CutPrefix(l, "total_net_input_bytes:"); ok {
			v = n
		}
	}
	t.Require(v == strconv.Itoa(base+18), fmt.Sprintf("total_net_input_bytes:%d", base+18), "%s", v)
}

// bulk reads a bulk string and returns what it says.
func bulk(c *check.Conn) string { return string(c.Reply().Str) }
