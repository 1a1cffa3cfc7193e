package load

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"byor/10-websocket-capstone/bench/client"
)

// test is a command to measure. In its words RANDOM stands for twelve random digits and VALUE for a value of the
// chosen size. The keys are redis-benchmark's own, so that the two do the same work on the same data.
type test struct {
	name   string // as redis-benchmark's -t calls it
	words  []string
	needs  string // what it reads or takes away: strings, list, set or zset
	grows  string // the key it makes longer and longer
	inline bool
}

// tests begins with redis-benchmark's list, in its order.
var tests = []test{
	{name: "ping_inline", words: []string{"PING"}, inline: true},
	{name: "ping_mbulk", words: []string{"PING"}},
	{name: "set", words: []string{"SET", "key:RANDOM", "VALUE"}},
	{name: "get", words: []string{"GET", "key:RANDOM"}, needs: "strings"},
	{name: "incr", words: []string{"INCR", "counter:RANDOM"}},
	{name: "lpush", words: []string{"LPUSH", "mylist", "VALUE"}, grows: "mylist"},
	{name: "rpush", words: []string{"RPUSH", "mylist", "VALUE"}, grows: "mylist"},
	{name: "lpop", words: []string{"LPOP", "mylist"}, needs: "list"},
	{name: "rpop", words: []string{"RPOP", "mylist"}, needs: "list"},
	{name: "sadd", words: []string{"SADD", "myset", "element:RANDOM"}},
	{name: "hset", words: []string{"HSET", "myhash", "element:RANDOM", "VALUE"}},
	{name: "spop", words: []string{"SPOP", "myset"}, needs: "set"},
	{name: "zadd", words: []string{"ZADD", "myzset", "RANDOM", "element:RANDOM"}},
	{name: "zpopmin", words: []string{"ZPOPMIN", "myzset"}, needs: "zset"},
	{name: "lrange_100", words: []string{"LRANGE", "mylist", "0", "99"}, needs: "list"},
	{name: "lrange_300", words: []string{"LRANGE", "mylist", "0", "299"}, needs: "list"},
	{name: "lrange_500", words: []string{"LRANGE", "mylist", "0", "499"}, needs: "list"},
	{name: "lrange_600", words: []string{"LRANGE", "mylist", "0", "599"}, needs: "list"},
	{name: "mset", words: append([]string{"MSET"}, slices.Repeat([]string{"key:RANDOM", "VALUE"}, 10)...)},
	// What redis-benchmark has not:
	{name: "setex", words: []string{"SET", "key:RANDOM", "VALUE", "EX", "100"}},
	{name: "mget", words: append([]string{"MGET"}, slices.Repeat([]string{"key:RANDOM"}, 10)...), needs: "strings"},
	{name: "del", words: []string{"DEL", "key:RANDOM"}},
	{name: "exists", words: []string{"EXISTS", "key:RANDOM"}},
	{name: "expire", words: []string{"EXPIRE", "key:RANDOM", "100"}},
	{name: "hget", words: []string{"HGET", "myhash", "element:RANDOM"}},
	{name: "zrange", words: []string{"ZRANGE", "myzset", "0", "9"}, needs: "zset"},
	{name: "publish", words: []string{"PUBLISH", "channel:RANDOM", "VALUE"}},
}

// groups are names for several tests.
var groups = map[string][]string{
	"ping":    {"ping_inline", "ping_mbulk"},
	"lrange":  {"lrange_100", "lrange_300", "lrange_500", "lrange_600"},
	"default": nil,
}

func init() {
	for _, t := range tests[:19] {
		groups["default"] = append(groups["default"], t.name)
	}
}

// Names lists the tests that Parse knows.
func Names() []string {
	names := make([]string, len(tests))
	for i, t := range tests {
		names[i] = t.name
	}
	return names
}

// holders are the keys of which commands take elements away, and how one asks for their length and adds to them.
var holders = map[string]struct{ key, length, add string }{
	"list": {"mylist", "LLEN", "RPUSH"}, "set": {"myset", "SCARD", "SADD"}, "zset": {"myzset", "ZCARD", "ZADD"},
}

// Prepare gives the server what m needs: every key of the key space for a command that reads strings, and elements to
// take for one that takes them away. A list that m makes longer begins anew, so that each round has the same work.
func (m *Mix) Prepare(ctx context.Context, addr string, elements int) error {
	for _, t := range m.tests {
		if t.grows == "" && t.needs == "" {
			continue
		}
		c, err := client.Dial(ctx, addr)
		if err != nil {
			return err
		}
		if t.grows != "" {
			_, err = c.Ask("DEL", t.grows)
		} else {
			err = m.fill(c, t.needs, elements)
		}
		_ = c.Close()
		if err != nil {
			return fmt.Errorf("preparing %s: %w", m.Name, err)
		}
	}
	return nil
}

// fill tops up what needs says.
func (m *Mix) fill(c *client.Conn, needs string, elements int) error {
	value := strings.Repeat("x", m.valueSize)
	if needs == "strings" {
		return c.Fill(int(m.keySpace), func(i int, args []string) []string {
			return append(args, "SET", digits("key:", i), value)
		})
	}
	h := holders[needs]
	v, err := c.Ask(h.length, h.key)
	if err != nil || v.Int >= int64(elements) {
		return err
	}
	missing := elements
	if needs == "list" { // what the others have may be any of what they shall get
		missing -= int(v.Int)
	}
	const atOnce = 100
	return c.Fill((missing+atOnce-1)/atOnce, func(i int, args []string) []string {
		args = append(args, h.add, h.key)
		for k := i * atOnce; k < (i+1)*atOnce; k++ {
			switch needs {
			case "list":
				args = append(args, value)
			case "set":
				args = append(args, digits("element:", k))
			case "zset":
				args = append(args, strconv.Itoa(k), digits("element:", k))
			}
		}
		return args
	})
}

// digits is a name as the tests have them, with a number of twelve digits.
func digits(prefix string, n int) string { return fmt.Sprintf("%s%0*d", prefix, keyDigits, n) }

// RanDry reports whether m has taken away all that there was: what it did then was no work.
func (m *Mix) RanDry(ctx context.Context, addr string) (bool, error) {
	for _, t := range m.tests {
		h, ok := holders[t.needs]
		if !ok {
			continue
		}
		c, err := client.Dial(ctx, addr)
		if err != nil {
			return false, err
		}
		v, err := c.Ask(h.length, h.key)
		_ = c.Close()
		if err != nil || v.Int == 0 {
			return v.Int == 0, err
		}
	}
	return false, nil
}
