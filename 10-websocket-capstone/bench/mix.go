package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// The commands a mix may name. KEY stands for a random key of the key space,
// VALUE for a value of the chosen size. Each type has keys of its own, so that
// any commands may be mixed.
var templates = map[string][]string{
	"ping":    {"PING"},
	"set":     {"SET", "KEY", "VALUE"},
	"setex":   {"SET", "KEY", "VALUE", "EX", "100"},
	"get":     {"GET", "KEY"},
	"mset":    append([]string{"MSET"}, slices.Repeat([]string{"KEY", "VALUE"}, 10)...),
	"mget":    append([]string{"MGET"}, slices.Repeat([]string{"KEY"}, 10)...),
	"del":     {"DEL", "KEY"},
	"exists":  {"EXISTS", "KEY"},
	"expire":  {"EXPIRE", "KEY", "100"},
	"incr":    {"INCR", "counter:KEY"},
	"lpush":   {"LPUSH", "list:KEY", "VALUE"},
	"rpush":   {"RPUSH", "list:KEY", "VALUE"},
	"lpop":    {"LPOP", "list:KEY"},
	"rpop":    {"RPOP", "list:KEY"},
	"sadd":    {"SADD", "set:KEY", "KEY"},
	"spop":    {"SPOP", "set:KEY"},
	"hset":    {"HSET", "hash:KEY", "KEY", "VALUE"},
	"hget":    {"HGET", "hash:KEY", "KEY"},
	"zadd":    {"ZADD", "zset:KEY", "1", "KEY"},
	"zrange":  {"ZRANGE", "zset:KEY", "0", "9"},
	"publish": {"PUBLISH", "channel:KEY", "VALUE"},
}

// keyDigits is how many digits the number of a key takes, as in redis-benchmark.
const keyDigits = 12

// encoded is one command as bytes, with the places where digits of keys stand.
type encoded struct {
	bytes []byte
	keys  []int
}

// mix is a weighted choice of commands, ready to be sent. It is read-only and
// may be shared.
type mix struct {
	name     string
	commands []encoded
	choice   []uint8 // an index into commands for each unit of weight
	keySpace uint64
}

// parseMix parses "set:1,get:9"; a command without a weight has weight 1.
func parseMix(text string, keySpace, valueSize int) (*mix, error) {
	m := &mix{name: text, keySpace: uint64(keySpace)}
	for i, part := range strings.Split(text, ",") {
		name, weightText, has := strings.Cut(strings.TrimSpace(part), ":")
		weight := 1
		if has {
			w, err := strconv.Atoi(weightText)
			if err != nil || w < 1 || w > 1000 {
				return nil, fmt.Errorf("-mix: %q: a weight is a number from 1 to 1000", part)
			}
			weight = w
		}
		words := templates[strings.ToLower(name)]
		if words == nil {
			return nil, fmt.Errorf("-mix: no command %q; there are: %s",
				name, strings.Join(slices.Sorted(maps.Keys(templates)), " "))
		}
		m.commands = append(m.commands, encode(words, valueSize))
		for range weight {
			m.choice = append(m.choice, uint8(i))
		}
	}
	return m, nil
}

func encode(words []string, valueSize int) encoded {
	var e encoded
	e.bytes = fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		if w == "VALUE" {
			w = strings.Repeat("x", valueSize)
		}
		prefix, isKey := strings.CutSuffix(w, "KEY")
		if isKey {
			w = "bench:" + prefix + strings.Repeat("0", keyDigits)
		}
		e.bytes = fmt.Appendf(e.bytes, "$%d\r\n%s\r\n", len(w), w)
		if isKey {
			e.keys = append(e.keys, len(e.bytes)-2-keyDigits)
		}
	}
	return e
}

// append appends one command, chosen at random, with random keys.
func (m *mix) append(to []byte, rng *rand.PCG) []byte {
	// A multiplication takes the high bits, which is as even as % here and needs
	// no division.
	pick := m.choice[uint64(uint32(rng.Uint64()))*uint64(len(m.choice))>>32]
	c := &m.commands[pick]
	at := len(to)
	to = append(to, c.bytes...)
	for _, k := range c.keys {
		putDigits(to[at+k:at+k+keyDigits], rng.Uint64()%m.keySpace)
	}
	return to
}

func putDigits(to []byte, n uint64) {
	for i := len(to) - 1; n > 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

// readsStrings reports whether the mix reads plain keys, so that they should
// be there before the race.
func (m *mix) readsStrings() bool {
	return slices.ContainsFunc(m.commands, func(c encoded) bool {
		return strings.Contains(string(c.bytes), "GET\r\n$18\r\nbench:0")
	})
}
