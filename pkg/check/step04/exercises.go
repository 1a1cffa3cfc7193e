package step04

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/step02"
	"byor/pkg/check/step03"
	"byor/pkg/resp"
)

// The exercises of step 04.

func init() {
	check.Register(4, 1, check.Check{Name: "keepttl", What: "SET KEEPTTL keeps the deadline", Run: exKeepTTL,
		Hint: "KEEPTTL has no number behind it, and goes together with neither EX nor PX"})
	check.Register(4, 2, check.Check{Name: "absolute", What: "EXPIREAT, PEXPIREAT, EXPIRETIME, PEXPIRETIME, SET EXAT and PXAT", Run: exAbsolute,
		Hint: "EXPIRE is EXPIREAT counted from now; mind the overflow when seconds become milliseconds"})
	check.Register(4, 3, check.Check{Name: "conditions", What: "EXPIRE with NX, XX, GT and LT", Run: exConditions,
		Hint: "parse all options, look for contradictions, then look at the key; for GT and LT, no deadline is infinity"})
	check.Register(4, 4, check.Check{Name: "getdel-getex", What: "GETDEL and GETEX read and change in one go", Run: exGetEx,
		Hint: "first everything that can fail, then the reply, then the change"})
	check.Register(4, 5, check.Check{Name: "due-first", What: "100 dead keys among 20,000 that live are found in time", Run: exDueFirst, Own: true, Slow: 4,
		NotRedis: "it samples, too", Hint: "the sweeper looked in vain: a heap ordered by deadline knows what is due without looking at the rest"},
		check.Check{Name: "due-in-steps", What: "clients are served while 100,000 keys die at once", Run: sweepsInSteps, Own: true, Slow: 6,
			Hint: "no client got a turn while the sweeper emptied the queue: take a few, give the lock back, and take it again for the next few"})
	check.Register(4, 6, check.Check{Name: "expired-keys", What: "INFO counts expired keys and those in memory", Run: exExpiredKeys, Own: true, Slow: 2,
		NotRedis: "its INFO has other lines between", Hint: "keys die of their deadline in two places, the look-up and the sweeper: count in both, and nowhere else"})
}

func exKeepTTL(t *check.T) {
	k, c := t.Key("k"), t.Dial()
	c.Ask("+OK\r\n", "SET", k, "a", "EX", "100").Ask("+OK\r\n", "SET", k, "b", "KEEPTTL").Ask(check.Bulk("b"), "GET", k).Between(95_000, 100_000, "PTTL", k).
		Ask("+OK\r\n", "SET", k, "c", "keepttl").Between(95_000, 100_000, "PTTL", k).Ask("+OK\r\n", "SET", k, "d").Ask("+OK\r\n", "SET", k, "e", "KEEPTTL").
		Ask(":-1\r\n", "TTL", k)
	for _, opts := range [][]string{{"KEEPTTL", "EX", "5"}, {"EX", "5", "KEEPTTL"}, {"PX", "5", "KEEPTTL"}} {
		c.Ask(check.Err("ERR syntax error"), append([]string{"SET", k, "bad"}, opts...)...).Ask(check.Bulk("e"), "GET", k)
	}
	t.Hint("a key past its deadline is not there, and neither is its deadline: call lookup before you keep it")
	for range 5 { // the sweeper cannot have been there each time
		for _, k := range dead(c, 10) {
			c.Ask("+OK\r\n", "SET", k, "new", "KEEPTTL").Ask(":-1\r\n", "TTL", k)
		}
	}
	fresh := t.Key("fresh")
	c.Ask("+OK\r\n", "SET", fresh, "v", "KEEPTTL").Ask(":-1\r\n", "TTL", fresh)
}

func exAbsolute(t *check.T) {
	k, c := t.Key("k"), t.Dial()
	now := time.Now().Unix()
	at := strconv.FormatInt(now+1000, 10)
	c.Ask(":0\r\n", "EXPIREAT", k, at).Ask(":-2\r\n", "EXPIRETIME", k).Ask("+OK\r\n", "SET", k, "v").Ask(":-1\r\n", "EXPIRETIME", k).Ask(":-1\r\n", "PEXPIRETIME", k).
		Ask(":1\r\n", "EXPIREAT", k, at).Ask(":"+at+"\r\n", "EXPIRETIME", k).Ask(":"+at+"000\r\n", "PEXPIRETIME", k).Between(990, 1000, "TTL", k).
		Ask(":1\r\n", "PEXPIREAT", k, at+"600").Ask(":"+at+"600\r\n", "PEXPIRETIME", k).Ask(fmt.Sprintf(":%d\r\n", now+1001), "EXPIRETIME", k)
	c.Ask("+OK\r\n", "SET", k, "v", "EXAT", at).Ask(":"+at+"000\r\n", "PEXPIRETIME", k).Ask("+OK\r\n", "SET", k, "v", "pxat", at+"123").Ask(":"+at+"123\r\n", "PEXPIRETIME", k)
	for _, opts := range [][]string{{"EX", "5", "PXAT", at}, {"EXAT", at, "PX", "5"}, {"EXAT"}} {
		c.Ask(check.Err("ERR syntax error"), append([]string{"SET", k, "bad"}, opts...)...)
	}
	for _, v := range []string{"0", "-5"} {
		c.Ask(check.Err("ERR invalid expire time in 'set' command"), "SET", k, "bad", "EXAT", v).Ask(check.Err("ERR invalid expire time in 'set' command"), "SET", k, "bad", "PXAT", v)
	}
	c.Ask(check.Bulk("v"), "GET", k).Ask(check.Err(step03.NotInteger), "EXPIREAT", k, "x").Ask(check.Err("ERR invalid expire time in 'expireat' command"), "EXPIREAT", k, "9223372036854775807").
		Ask("+OK\r\n", "SET", k, "v", "PXAT", "1000").Ask("$-1\r\n", "GET", k).
		Ask("+OK\r\n", "SET", k, "v").Ask(":1\r\n", "EXPIREAT", k, "1").Ask(":0\r\n", "EXISTS", k).
		Ask("+OK\r\n", "SET", k, "v").Ask(":1\r\n", "PEXPIREAT", k, "9223372036854775807").Ask(":9223372036854775807\r\n", "PEXPIRETIME", k).
		Ask(check.Bulk("v"), "GET", k).Ask(":1\r\n", "DEL", k)
}

func exConditions(t *check.T) {
	k, c := t.Key("k"), t.Dial()
	c.Ask("+OK\r\n", "SET", k, "v").Ask(":0\r\n", "EXPIRE", k, "100", "XX").Ask(":0\r\n", "EXPIRE", k, "100", "GT").Ask(":-1\r\n", "TTL", k).
		Ask(":1\r\n", "EXPIRE", k, "100", "LT").About(100, "TTL", k).Ask(":0\r\n", "EXPIRE", k, "50", "NX").Ask(":0\r\n", "EXPIRE", k, "50", "gt").
		Ask(":1\r\n", "EXPIRE", k, "200", "GT").About(200, "TTL", k).Ask(":0\r\n", "EXPIRE", k, "300", "LT").Ask(":1\r\n", "PEXPIRE", k, "50000", "LT", "XX").
		About(50, "TTL", k).Ask(":1\r\n", "EXPIRE", k, "70", "XX", "GT").Ask(":0\r\n", "EXPIRE", k, "-1", "GT").About(70, "TTL", k).
		Ask(":0\r\n", "EXPIRE", t.Key("none"), "10", "NX")
	nx := check.Err("ERR NX and XX, GT or LT options at the same time are not compatible")
	c.Ask(nx, "EXPIRE", k, "1", "NX", "XX").Ask(nx, "EXPIRE", k, "1", "GT", "NX").Ask(nx, "PEXPIRE", k, "1", "NX", "LT").
		Ask(check.Err("ERR GT and LT options at the same time are not compatible"), "EXPIRE", k, "1", "GT", "LT").
		Ask(check.Err("ERR Unsupported option FOO"), "EXPIRE", k, "1", "FOO").Ask(check.Err(step03.NotInteger), "EXPIRE", k, "x", "NX").About(70, "TTL", k).
		Ask(":1\r\n", "EXPIRE", k, "-1", "LT").Ask(":0\r\n", "EXISTS", k)
	c.Ask("+OK\r\n", "SET", k, "v").Ask(":1\r\n", "EXPIRE", k, "10", "NX").About(10, "TTL", k)
}

func exGetEx(t *check.T) {
	k, c := t.Key("k"), t.Dial()
	c.Ask("$-1\r\n", "GETDEL", k).Ask("$-1\r\n", "GETEX", k).Ask("+OK\r\n", "SET", k, "v").Ask(check.Bulk("v"), "GETDEL", k).Ask(":0\r\n", "EXISTS", k).
		Ask("+OK\r\n", "SET", k, "v").Ask(check.Bulk("v"), "GETEX", k).Ask(":-1\r\n", "TTL", k).Ask(check.Bulk("v"), "GETEX", k, "EX", "100").About(100, "TTL", k).
		Ask(check.Bulk("v"), "GETEX", k).About(100, "TTL", k).Ask(check.Bulk("v"), "getex", k, "px", "50000").About(50, "TTL", k)
	for _, opts := range [][]string{{"EX"}, {"NOPE"}, {"PERSIST", "EX"}, {"EX", "5", "PERSIST"}, {"EX", "5", "PX", "5"}, {"PERSIST", "x"}} {
		c.Ask(check.Err("ERR syntax error"), append([]string{"GETEX", k}, opts...)...)
	}
	c.Ask(check.Err("ERR invalid expire time in 'getex' command"), "GETEX", k, "EX", "0").Ask(check.Err("ERR invalid expire time in 'getex' command"), "GETEX", k, "PX", "-1").
		Ask(check.Err(step03.NotInteger), "GETEX", k, "EX", "x").About(50, "TTL", k).Ask(check.Bulk("v"), "GETEX", k, "PERSIST").Ask(":-1\r\n", "TTL", k).
		Ask("$-1\r\n", "GETEX", t.Key("none"), "EX", "5").Ask(check.Err("ERR syntax error"), "GETEX", t.Key("none"), "NOPE").
		Ask(check.Err("ERR wrong number of arguments for 'getdel' command"), "GETDEL")
}

func exDueFirst(t *check.T) {
	s := t.Alone()
	c := t.DialTo(s)
	c.FillKeys("long:", 20_000, "EX", "1000")
	c.FillKeys("short:", 100, "PX", "300")
	t.Sleep(1300 * time.Millisecond)
	c.Ask(":20000\r\n", "DBSIZE")
	one := strings.Repeat(string(resp.AppendCommandStrings(nil, "EXPIRE", "long:7", "1000")), 1000)
	before := step02.ResidentBytes(s)
	for range 1000 {
		c.Exchange(one, strings.Repeat(":1\r\n", 1000))
	}
	grown := step02.ResidentBytes(s) - before
	t.Hint("a moved deadline leaves its old item in the heap: when there are more wrong ones than right ones, build it anew").
		Require(grown < 40<<20, "a million moves of one deadline do not make memory grow", "%d MB more", grown>>20)
	c.Ask(":20000\r\n", "DBSIZE")
}

func exExpiredKeys(t *check.T) {
	s := t.Alone()
	c := t.DialTo(s)
	info := c.Info()
	_, has := info["db0"]
	t.Require(info["expired_keys"] == "0" && !has, "expired_keys:0 and no db0 line at first", "%v", info)
	c.FillKeys("short:", 50, "PX", "200")
	c.FillKeys("long:", 30, "EX", "100")
	c.FillKeys("ever:", 20)
	if db0 := c.Info()["db0"]; db0 != "keys=100,expires=80,avg_ttl=0" {
		t.Require(db0 != "" && c.Info()["expired_keys"] != "0", "db0:keys=100,expires=80,avg_ttl=0", "%s", db0)
	}
	c.Ask(":1\r\n", "DEL", "long:0").Ask("+OK\r\n", "SET", "long:1", "v").Ask(":1\r\n", "PERSIST", "long:2")
	t.Until(t.Limit, "expired_keys:50 and db0:keys=49,expires=27,avg_ttl=0", func() (bool, string) {
		info := c.Info()
		return info["expired_keys"] == "50" && info["db0"] == "keys=49,expires=27,avg_ttl=0", fmt.Sprint(info)
	})
	c.Ask("+OK\r\n", "SET", "lazy", "v", "PX", "1")
	time.Sleep(20 * time.Millisecond)
	c.Do("GET", "lazy")
	t.Require(c.Info()["expired_keys"] == "51", "expired_keys:51 after one more", "%s", c.Info()["expired_keys"])
}
