package diff

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// Random commands on lists, hashes, sets and sorted sets, for TestDiffRandom.

func anyIndex(r *rand.Rand) string {
	if r.IntN(12) == 0 {
		return anyInt(r)
	}
	return strconv.Itoa(r.IntN(14) - 7)
}

// anyMember draws integers for the most part, so that intsets are met, and now and then something
// long, so that encodings change.
func anyMember(r *rand.Rand) string {
	switch r.IntN(40) {
	case 0:
		return anyValue(r)
	case 1, 2, 3, 4, 5:
		return pick(r, "a", "b", "c", "d", "ab", "abc")
	}
	return strconv.Itoa(r.IntN(60) - 10)
}

func anyField(r *rand.Rand) string {
	if r.IntN(60) == 0 {
		return anyValue(r)
	}
	return "f" + strconv.Itoa(r.IntN(12))
}

func anyEnd(r *rand.Rand) string {
	return pick(r, "LEFT", "RIGHT", "left", "right", "LEFT", "RIGHT", "UP")
}

// args joins words and lists of words to a command.
func args(parts ...any) []string {
	var out []string
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			out = append(out, p)
		case []string:
			out = append(out, p...)
		}
	}
	return out
}

// numbered is a number of keys, right or now and then wrong, and keys.
func numbered(r *rand.Rand, lo, hi int) []string {
	keys := some(r, lo, hi, anyKey)
	n := strconv.Itoa(len(keys))
	if r.IntN(15) == 0 {
		n = pick(r, "0", "-1", "x", "9", "1")
	}
	return append([]string{n}, keys...)
}

// maybe is the words, one time in n.
func maybe(r *rand.Rand, n int, words ...string) []string {
	if r.IntN(n) == 0 {
		return words
	}
	return nil
}

func init() {
	generators["list"] = randomListCommand
	generators["hash"] = randomHashCommand
	generators["set"] = randomSetCommand
	generators["zset"] = randomZsetCommand
	generators["zset2"] = randomZrangeCommand
}

func randomListCommand(r *rand.Rand) []string {
	k := anyKey(r)
	switch r.IntN(24) {
	case 0, 1, 2, 3:
		return args(pick(r, "LPUSH", "RPUSH", "LPUSHX", "RPUSHX"), k, some(r, 1, 5, anyMember))
	case 4, 5:
		return args(pick(r, "LPOP", "RPOP"), k)
	case 6:
		return args(pick(r, "LPOP", "RPOP"), k, anyIndex(r), maybe(r, 30, "x"))
	case 7:
		return args("LLEN", k)
	case 8:
		return args("LINDEX", k, anyIndex(r))
	case 9, 10:
		return args("LRANGE", k, anyIndex(r), anyIndex(r))
	case 11:
		return args("LSET", k, anyIndex(r), anyMember(r))
	case 12:
		return args("LREM", k, anyIndex(r), anyMember(r))
	case 13:
		return args("LTRIM", k, anyIndex(r), anyIndex(r))
	case 14:
		return args("LINSERT", k, pick(r, "BEFORE", "AFTER", "after", "IN"), anyMember(r), anyMember(r))
	case 15:
		return args("LPOS", k, anyMember(r), maybe(r, 2, "RANK", anyRank(r)), maybe(r, 2, "COUNT", anyIndex(r)),
			maybe(r, 3, "MAXLEN", anyIndex(r)), maybe(r, 30, "FOO"))
	case 16:
		return args("RPOPLPUSH", k, anyKey(r))
	case 17:
		return args("LMOVE", k, anyKey(r), anyEnd(r), anyEnd(r))
	case 18:
		return args("LMPOP", numbered(r, 1, 3), anyEnd(r), maybe(r, 2, "COUNT", anyIndex(r)), maybe(r, 30, "COUNT"))
	case 19:
		return args("LPUSH", k, strings.Repeat("x", r.IntN(3000)), strings.Repeat("y", r.IntN(3000)))
	case 20:
		return args("OBJECT", "ENCODING", k)
	case 21:
		return args("DEL", k)
	case 22:
		if r.IntN(10) == 0 { // small nodes are split and joined more often
			return args("CONFIG", "SET", "list-max-listpack-size", pick(r, "-2", "-2", "-1", "4", "16"))
		}
		return args("BLMPOP", "0", numbered(r, 1, 2), "UP")
	}
	return args(pick(r, "BLPOP", "BRPOPLPUSH"), k, k, pick(r, "-1", "x", "1e400", "9e18", "-1.5", "", "0.001"))
}

func randomHashCommand(r *rand.Rand) []string {
	k := anyKey(r)
	switch r.IntN(18) {
	case 0, 1, 2:
		a := args(pick(r, "HSET", "HMSET"), k, anyField(r), anyValue(r))
		for range r.IntN(3) {
			a = append(a, anyField(r), anyMember(r))
		}
		return append(a, maybe(r, 20, "odd")...)
	case 3:
		return args("HSETNX", k, anyField(r), anyValue(r))
	case 4:
		return args("HGET", k, anyField(r))
	case 5:
		return args("HMGET", k, some(r, 1, 4, anyField))
	case 6:
		return args("HDEL", k, some(r, 1, 6, anyField))
	case 7:
		return args(pick(r, "HSTRLEN", "HEXISTS"), k, anyField(r))
	case 8:
		return args("HLEN", k)
	case 9, 10:
		return args(pick(r, "HGETALL", "HKEYS", "HVALS"), k)
	case 11, 12:
		return args("HINCRBY", k, anyField(r), anyInt(r))
	case 13:
		return args("HINCRBYFLOAT", k, anyField(r), pick(r, "0.1", "1", "-2.5", "1e3", "x", "inf", "nan", "3.0", "-0.1", "1e-5", ""))
	case 14:
		return args("HRANDFIELD", k, pick(r, "0", "x", "-9223372036854775808"), maybe(r, 2, "WITHVALUES"), maybe(r, 9, "x"))
	case 15:
		return args("HSET", k, "f1", strings.Repeat("v", 60+r.IntN(8)))
	case 16:
		return args("DEL", k)
	}
	return args("OBJECT", "ENCODING", k)
}

func randomSetCommand(r *rand.Rand) []string {
	k := anyKey(r)
	switch r.IntN(18) {
	case 0, 1, 2, 3:
		return args("SADD", k, some(r, 1, 6, anyMember))
	case 4, 5:
		return args("SREM", k, some(r, 1, 6, anyMember))
	case 6:
		return args("SMOVE", k, anyKey(r), anyMember(r))
	case 7:
		return args("SISMEMBER", k, anyMember(r))
	case 8:
		return args("SMISMEMBER", k, some(r, 1, 4, anyMember))
	case 9:
		return args("SCARD", k)
	case 10:
		return args("SMEMBERS", k)
	case 11, 12:
		return args(pick(r, "SINTER", "SUNION", "SDIFF"), some(r, 1, 4, anyKey))
	case 13, 14:
		return args(pick(r, "SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"), some(r, 2, 4, anyKey))
	case 15:
		return args("SINTERCARD", numbered(r, 1, 3), maybe(r, 2, "LIMIT", anyIndex(r)), maybe(r, 30, "FOO"))
	case 16:
		return args(pick(r, "SPOP", "SRANDMEMBER"), k, pick(r, "0", "-0", "x", "", "9223372036854775808"), maybe(r, 20, "x"))
	}
	return args(pick(r, "DEL", "TYPE"), k)
}

func anyScore(r *rand.Rand) string {
	if r.IntN(5) == 0 {
		return pick(r, "inf", "-inf", "+inf", "0.1", "1e17", "-0", "1e300", "nan", "x", "", "0x10", "1e400", "1e-400",
			" 1", "1 ", "3.5", "2.25", "12345678901234567890", "1_0", ".5", "5.", "Infinity", "1e")
	}
	return strconv.Itoa(r.IntN(20) - 5)
}

func zaddFlag(r *rand.Rand) string {
	return pick(r, "NX", "XX", "GT", "LT", "CH", "CH", "INCR", "gt", "xx")
}

func randomZsetCommand(r *rand.Rand) []string {
	k := anyKey(r)
	switch r.IntN(18) {
	case 0, 1, 2, 3, 4:
		a := args("ZADD", k, some(r, 0, 1, zaddFlag), maybe(r, 6, zaddFlag(r)))
		for range 1 + r.IntN(4) {
			a = append(a, anyScore(r), anyMember(r))
		}
		return append(a, maybe(r, 30, "odd")...)
	case 5:
		return args("ZADD", k, "INCR", maybe(r, 3, zaddFlag(r)), anyScore(r), anyMember(r))
	case 6:
		return args("ZINCRBY", k, anyScore(r), anyMember(r))
	case 7:
		return args("ZREM", k, some(r, 1, 5, anyMember))
	case 8:
		return args("ZCARD", k)
	case 9:
		return args(pick(r, "ZSCORE", "ZRANK", "ZREVRANK"), k, anyMember(r))
	case 10:
		return args("ZMSCORE", k, some(r, 1, 4, anyMember))
	case 11:
		return args(pick(r, "ZPOPMIN", "ZPOPMAX"), k, maybe(r, 2, anyIndex(r)), maybe(r, 30, "x"))
	case 12:
		return args("ZMPOP", numbered(r, 1, 3), pick(r, "MIN", "MAX", "min", "LEFT"), maybe(r, 2, "COUNT", anyIndex(r)))
	case 13, 14:
		return args(pick(r, "ZUNION", "ZINTER"), numbered(r, 1, 3), zopOptionsOf(r), maybe(r, 2, "WITHSCORES"))
	case 15:
		return args(pick(r, "ZUNIONSTORE", "ZINTERSTORE"), k, numbered(r, 1, 3), zopOptionsOf(r), maybe(r, 30, "WITHSCORES"))
	case 16:
		if r.IntN(2) == 0 {
			return args("ZDIFF", numbered(r, 1, 3), maybe(r, 2, "WITHSCORES"), maybe(r, 30, "WEIGHTS", "1"))
		}
		return args("ZINTERCARD", numbered(r, 1, 3), maybe(r, 2, "LIMIT", anyIndex(r)))
	}
	return args("ZDIFFSTORE", k, numbered(r, 1, 3))
}

func zopOptionsOf(r *rand.Rand) []string {
	return args(maybe(r, 3, "WEIGHTS", anyScore(r), anyScore(r)), maybe(r, 9, anyScore(r)),
		maybe(r, 3, "AGGREGATE", pick(r, "SUM", "MIN", "MAX", "min", "AVG")))
}

func scoreBound(r *rand.Rand) string { return pick(r, "", "", "(") + anyScore(r) }

func lexBound(r *rand.Rand) string {
	if r.IntN(6) == 0 {
		return pick(r, "-", "+", "(", "[", "a", "", "+a", "--")
	}
	return pick(r, "[", "(") + anyMember(r)
}

// randomZrangeCommand draws ranges. Those by member go to keys of their own, where all scores are
// the same: elsewhere Redis promises nothing.
func randomZrangeCommand(r *rand.Rand) []string {
	k, lex := anyKey(r), "klex"+strconv.Itoa(r.IntN(2))
	limit := args(maybe(r, 3, "LIMIT", anyIndex(r), anyIndex(r)), maybe(r, 40, "LIMIT", "1"))
	scores := maybe(r, 3, "WITHSCORES")
	switch r.IntN(16) {
	case 0, 1:
		return args("ZADD", k, anyScore(r), anyMember(r), anyScore(r), anyMember(r))
	case 2, 3:
		return args("ZADD", lex, "0", anyMember(r), "0", anyMember(r), "0", anyMember(r))
	case 4:
		return args(pick(r, "ZRANGE", "ZREVRANGE"), k, anyIndex(r), anyIndex(r), scores, maybe(r, 20, "LIMIT", "0", "-1"), maybe(r, 5, "REV"))
	case 5, 6:
		return args(pick(r, "ZRANGEBYSCORE", "ZREVRANGEBYSCORE"), k, scoreBound(r), scoreBound(r), scores, limit)
	case 7, 8:
		return args(pick(r, "ZRANGEBYLEX", "ZREVRANGEBYLEX"), lex, lexBound(r), lexBound(r), limit, maybe(r, 30, "WITHSCORES"))
	case 9:
		return args("ZRANGE", k, scoreBound(r), scoreBound(r), "BYSCORE", maybe(r, 2, "REV"), limit, scores, maybe(r, 30, "BYLEX"))
	case 10:
		return args("ZRANGE", lex, lexBound(r), lexBound(r), "BYLEX", maybe(r, 2, "REV"), limit)
	case 11:
		return args("ZRANGESTORE", anyKey(r), k, scoreBound(r), scoreBound(r), maybe(r, 2, "BYSCORE"), maybe(r, 2, "REV"), limit)
	case 12:
		return args("ZCOUNT", k, scoreBound(r), scoreBound(r))
	case 13:
		return args("ZLEXCOUNT", lex, lexBound(r), lexBound(r))
	case 14:
		if r.IntN(2) == 0 {
			return args("ZREMRANGEBYRANK", k, anyIndex(r), anyIndex(r))
		}
		return args("ZREMRANGEBYLEX", lex, lexBound(r), lexBound(r))
	}
	return args("ZREMRANGEBYSCORE", k, scoreBound(r), scoreBound(r))
}

// anyRank is anyIndex without the one number whose negative does not exist: Redis leaves it to the
// compiler what becomes of that.
func anyRank(r *rand.Rand) string {
	for {
		if n := anyIndex(r); n != "-9223372036854775808" {
			return n
		}
	}
}
