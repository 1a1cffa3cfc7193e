package diff

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"byor/pkg/resp"
)

// Keys, values and elements of the lengths at which the store changes how it lays them out: what stands in one piece of
// memory, beside a pointer, or elsewhere, and what is overwritten in place.

func init() { generators["layout"] = randomLayoutCommand }

var (
	layoutKeys  = []int{1, 16, 17, 96, 97, 940, 968, 969, 976, 977, 1000}
	layoutSizes = []int{0, 1, 7, 8, 9, 12, 24, 25, 40, 41, 44, 45, 56, 57, 65, 200, 900, 959, 960, 975, 976, 977, 1100}
)

// layoutKey returns one of some keys; which type is at it follows from kind.
func layoutKey(r *rand.Rand, kind string) string {
	return "k" + kind + strings.Repeat("-", layoutKeys[r.IntN(len(layoutKeys))]-1)
}

// layoutText returns text of one of the lengths, or a number.
func layoutText(r *rand.Rand) string {
	switch r.IntN(60) {
	case 0:
		return strings.Repeat("L", resp.LargeBulk+r.IntN(2))
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10:
		return fmt.Sprint(r.Int64N(3000) - 1000)
	}
	return strings.Repeat(string(rune('a'+r.IntN(3))), layoutSizes[r.IntN(len(layoutSizes))])
}

func randomLayoutCommand(r *rand.Rand) []string {
	if r.IntN(4) == 0 {
		return randomLayoutElement(r)
	}
	key, other, text := layoutKey(r, ""), layoutKey(r, ""), layoutText(r)
	commands := [][]string{
		{"SET", key, text}, {"SET", key, text, "GET"}, {"SET", key, text, "KEEPTTL"}, {"SET", key, text, "EX", "1000"}, {"SETNX", key, text},
		{"GETSET", key, text}, {"GETDEL", key}, {"GETEX", key, "EX", "500"}, {"GETEX", key, "PERSIST"}, {"GET", key}, {"GET", key}, {"MGET", key, other, key},
		{"MSET", key, text, other, text, key, "x"}, {"APPEND", key, text}, {"SETRANGE", key, fmt.Sprint(r.IntN(1100)), text}, {"GETRANGE", key, "2", "-2"},
		{"INCR", key}, {"INCRBY", key, "77"}, {"INCRBYFLOAT", key, "1.5"}, {"SETBIT", key, fmt.Sprint(r.IntN(9000)), "1"},
		{"BITFIELD", key, "SET", "u8", "0", "65", "GET", "u8", "0", "INCRBY", "i16", "#3", "1"}, {"BITOP", "XOR", key, key, other}, {"STRLEN", key},
		{"RENAME", key, other}, {"RENAMENX", key, other}, {"COPY", key, other, "REPLACE"}, {"MOVE", key, "1"}, {"SWAPDB", "0", "1"},
		{"EXPIRE", key, "3000"}, {"PERSIST", key}, {"TTL", key}, {"DEL", key}, {"OBJECT", "ENCODING", key}, {"TYPE", key},
		{"EVAL", "local old = redis.call('get', KEYS[1]); redis.call('set', KEYS[1], ARGV[1]); redis.call('append', KEYS[1], 'z'); return {old, redis.call('get', KEYS[1])}", "1", key, text},
		{"SORT", layoutKey(r, "set"), "BY", "nosort", "GET", key, "STORE", other},
	}
	return commands[r.IntN(len(commands))]
}

// randomLayoutElement is about an element of a collection.
func randomLayoutElement(r *rand.Rand) []string {
	hash, set, zset := layoutKey(r, "hash"), layoutKey(r, "set"), layoutKey(r, "zset")
	elem, text := layoutText(r), layoutText(r)
	commands := [][]string{
		{"HSET", hash, elem, text}, {"HSET", hash, elem, text}, {"HGET", hash, elem}, {"HDEL", hash, elem}, {"HGETALL", hash}, {"HINCRBY", hash, elem, "5"},
		{"HINCRBYFLOAT", hash, elem, "0.5"}, {"HSTRLEN", hash, elem}, {"SADD", set, elem}, {"SREM", set, elem}, {"SISMEMBER", set, elem}, {"SMEMBERS", set},
		{"SMOVE", set, layoutKey(r, "set"), elem}, {"ZADD", zset, fmt.Sprint(r.IntN(9)), elem}, {"ZADD", zset, fmt.Sprint(r.IntN(9)), elem},
		{"ZINCRBY", zset, "2", elem}, {"ZREM", zset, elem}, {"ZSCORE", zset, elem}, {"ZRANK", zset, elem}, {"ZRANGE", zset, "0", "-1", "WITHSCORES"},
		{"ZPOPMIN", zset}, {"ZUNIONSTORE", zset, "2", zset, layoutKey(r, "zset")}, {"COPY", hash, layoutKey(r, "hash"), "REPLACE"}, {"RENAME", zset, layoutKey(r, "zset")},
	}
	return commands[r.IntN(len(commands))]
}
