package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The key browser, in a real browser.

func TestPageFindsOneAmongAMillion(t *testing.T) {
	t.Parallel()
	g := startPage(t, nil)
	fillKeys(t, g, 1_000_000)
	g.engineDo("SET", "needle:1", "found")
	b := openPage(t, g)
	b.shows("scan-says", "40 keys found, about ")
	b.becomes("80", `((n, more) => (n === 40 && more.click(), n))(document.querySelectorAll("#list button").length, document.getElementById("more"))`)
	b.shows("scan-says", "80 keys found, about ")

	b.fill("match", "needle:*")
	b.shows("scan-says", "1 key found, all 1,000,001 looked at")
	b.becomes("1,needle:1string", `document.querySelectorAll("#list button").length + "," + document.getElementById("list").textContent`)
	b.becomes("true", `document.getElementById("stop").hidden && document.getElementById("more").disabled`)
	b.fill("match", "needle:1") // by its name it is there at once, and the search for others goes on
	b.shows("list", "needle:1")
	b.click("#stop", "")
	b.fill("match", "eedle")
	b.shows("list", "needle:1") // a part of a name is enough

	// It shows how far it is, and can be stopped and go on. The page itself stops it, as soon as it says something:
	// seen from here it might be over by then.
	b.eval(`new MutationObserver((_, watch) => {
		if (!/^0 keys found, about/.test(document.getElementById("scan-says").textContent)) return;
		watch.disconnect();
		document.getElementById("stop").click();
	}).observe(document.getElementById("scan-says"), { childList: true })`)
	b.fill("match", "absent:*")
	b.shows("list", "Nothing found so far.")
	b.becomes("true", `document.getElementById("scan-bar").value < 1000001 && !document.getElementById("more").disabled`)
	g.engineDo("SET", "other", "1") // a change on the server does not start it again
	b.shows("dbsize", "1,000,002")
	b.becomes("true", `document.getElementById("scan-bar").value < 1000001 && !document.getElementById("more").disabled`)
	b.eval(`(globalThis.before = document.getElementById("scan-bar").value)`)
	b.click("#more", "")
	b.waits(`document.getElementById("scan-bar").value > before`)
	b.click("#stop", "")
}

func TestPageShowsLargeValues(t *testing.T) {
	g := startPage(t, func(o *gatewayOptions) { o.OpsRate = 0 })
	const n = 1000
	add := func(first []string, item func(i int) []string) {
		for at := 0; at < n; at += 500 {
			args := append([]string(nil), first...)
			for i := at; i < at+500; i++ {
				args = append(args, item(i)...)
			}
			g.engineDo(args...)
		}
	}
	add([]string{"HSET", "hash"}, func(i int) []string { return []string{fmt.Sprint("f", i), fmt.Sprint("v", i)} })
	add([]string{"SADD", "set"}, func(i int) []string { return []string{fmt.Sprint("m", i)} })
	add([]string{"ZADD", "zset"}, func(i int) []string { return []string{strconv.Itoa(i), fmt.Sprint("m", i)} })
	add([]string{"RPUSH", "list"}, func(i int) []string { return []string{fmt.Sprint("e", i)} })
	for i := range 250 {
		g.engineDo("XADD", "stream", fmt.Sprint(i+1, "-0"), "n", strconv.Itoa(i))
	}
	long := strings.Repeat("123456789€", 5000) // 12 bytes each: pages do not end at a character by themselves
	g.engineDo("SET", "string", long)
	b := openPage(t, g)
	pages := func(key, cells string, want int) {
		b.choose(key)
		b.becomes("done", `(async () => {
			const seen = globalThis.seen = new Set();
			for (;;) {
				document.querySelectorAll(`+quote(cells)+`).forEach((e) => seen.add(e.textContent));
				const next = document.querySelector('#value [title="Next page"]');
				if (!next || next.disabled) return "done";
				next.click();
				while (document.contains(next)) await new Promise((r) => setTimeout(r, 5));
			}
		})()`)
		require.Equal(t, strconv.Itoa(want), b.eval(`seen.size`), key)
	}
	for _, key := range []string{"hash", "set", "zset", "list"} {
		pages(key, "#value tbody td:first-child", n)
	}
	pages("stream", "#value tbody td:first-child", 250)
	pages("string", "#value pre", (len(long)+16<<10-1)/(16<<10))
	require.Equal(t, "true", b.eval(`[...seen].join("") === "123456789€".repeat(5000)`))
	b.choose("list")
	b.shows("value", "1–100 of 1,000")
	b.click("#value button", "Next")
	b.shows("value", "101–200 of 1,000")
	b.click("#value button", "Back")
	b.shows("value", "1–100 of 1,000")
}

func TestPageEdits(t *testing.T) {
	g := startPage(t, func(o *gatewayOptions) { o.OpsRate = 0 })
	g.engineDo("SET", "text", "old", "EX", "5000")
	g.engineDo("SET", "bin", "a\x00\xff\\r\r\n")
	g.engineDo("HSET", "hash", "f1", "v1", "f2", "v2")
	g.engineDo("RPUSH", "list", "same", "two", "same")
	g.engineDo("SADD", "set", "m1", "m2")
	g.engineDo("ZADD", "zset", "1", "a", "2", "b")
	g.engineDo("XADD", "stream", "1-1", "f", "v")
	b := openPage(t, g)
	becomes := func(want string, args ...string) {
		t.Helper()
		g.eventually(func() bool { return replyText(g.engineDo(args...)) == want }, fmt.Sprint(args, " never was ", want))
	}
	edit := func(row, value string) {
		t.Helper()
		b.inValue(`const open = at(` + quote(`[title="Edit `+row+`"]`) + `);
			if (!open) return "not there yet";
			open.click();
			at("textarea").value = ` + quote(value) + `;
			at(".editing").requestSubmit();
			return "done";`)
	}
	remove := func(name string) {
		t.Helper()
		b.inValue(`const button = at(` + quote(`[title="Remove `+name+`"]`) + `);
			button?.click();
			if (button?.textContent !== "Sure?") return "not there yet";
			button.click();
			return "done";`)
	}
	add := func(values ...string) {
		t.Helper()
		words, err := json.Marshal(values)
		require.NoError(t, err)
		b.inValue(`const form = at(".adder");
			if (!form) return "not there yet";
			` + string(words) + `.forEach((v, i) => (form.querySelectorAll("input")[i].value = v));
			form.requestSubmit();
			return "done";`)
	}
	b.choose("text")
	edit("the value", "new <b>text</b>\nof two lines")
	becomes("new <b>text</b>\nof two lines", "GET", "text")
	require.Greater(t, g.engineDo("TTL", "text").Int, int64(4000), "its TTL stays")
	b.choose("bin")
	b.click(`#value button[title="Edit the value"]`, "")
	b.becomes(`a\x00\xff\\r\x0d`+"\n", `document.querySelector("#value textarea").value`)
	b.set("#value textarea", `b\x00\xfe\\x`)
	b.click("#value .editing button", "Save")
	becomes("b\x00\xfe\\x", "GET", "bin")
	b.choose("hash")
	edit("f1", "v1 new")
	becomes("v1 new", "HGET", "hash", "f1")
	add("f3", "v3")
	becomes("v3", "HGET", "hash", "f3")
	remove("f2")
	becomes("0", "HEXISTS", "hash", "f2")
	b.choose("list")
	edit("1", "zwei")
	becomes("same zwei same", "LRANGE", "list", "0", "-1")
	add("last")
	becomes("same zwei same last", "LRANGE", "list", "0", "-1")
	b.shows("value", "4 elements")
	remove("2") // by its position: the other one with this value stays
	becomes("same zwei last", "LRANGE", "list", "0", "-1")
	b.choose("set")
	add("m3")
	becomes("1", "SISMEMBER", "set", "m3")
	remove("m1")
	becomes("0", "SISMEMBER", "set", "m1")
	b.choose("zset")
	edit("a", "5.5")
	becomes("b 2 a 5.5", "ZRANGE", "zset", "0", "-1", "WITHSCORES")
	add("c", "-inf")
	becomes("c -Inf b 2 a 5.5", "ZRANGE", "zset", "0", "-1", "WITHSCORES")
	remove("b")
	becomes("c -Inf a 5.5", "ZRANGE", "zset", "0", "-1", "WITHSCORES")
	add("d", "no number")
	b.shows("value", "not a valid float") // what the server says is shown
	b.choose("stream")
	add("f2", "v2")
	becomes("2", "XLEN", "stream")
	remove("1-1")
	becomes("1", "XLEN", "stream")
	testPageLifeOfAKey(g, b)
}

// A TTL, somebody else's change, and the end of a key.
func testPageLifeOfAKey(g *testGateway, b *tab) {
	ttl := func(seconds string) {
		b.inValue(`if (!at(".actions")) return "not there yet";
			at(".actions input").value = ` + quote(seconds) + `;
			at(".actions").requestSubmit();
			return "done";`)
	}
	b.choose("hash")
	ttl("1000")
	b.shows("value", "expires in")
	b.inValue(`at("[title^=Keep]")?.click(); return /does not expire/.test(at(".meta").textContent) ? "done" : "not yet"`)
	require.Equal(g.t, int64(-1), g.engineDo("TTL", "hash").Int)
	ttl("soon")
	b.shows("value", "A TTL is a number of seconds")

	b.inValue(`at("[title='Edit f1']")?.click(); return at("textarea") ? "done" : "not yet"`)
	g.engineDo("HSET", "hash", "f1", "another's")
	b.inValue(`at("textarea").value = "mine"; at(".editing").requestSubmit(); return "done"`)
	b.shows("value", "It has changed meanwhile.")
	require.Equal(g.t, "another's", string(g.engineDo("HGET", "hash", "f1").Str))
	b.inValue(`at(".editing button:last-child").click(); return "done"`)

	b.inValue(`at("[title^=Delete]")?.click(); return at(".danger") ? "done" : "not yet"`) // it asks first
	require.Equal(g.t, int64(1), g.engineDo("EXISTS", "hash").Int)
	b.deleteKey()
	require.Equal(g.t, int64(0), g.engineDo("EXISTS", "hash").Int)
	b.becomes("false", `document.getElementById("list").textContent.includes("hash")`)
}

// What is shown follows the server by itself, and other databases can be chosen, also after a reconnect.
func TestPageKeysFollowTheServer(t *testing.T) {
	t.Parallel()
	g := startPage(t, nil)
	g.engineDo("SET", "here", "1")
	g.engineDo("MULTI") // SELECT counts for those who share the connection
	g.engineDo("SELECT", "3")
	g.engineDo("SET", "there", "3")
	g.engineDo("SELECT", "0")
	g.engineDo("EXEC")
	b := openPage(t, g)
	b.choose("here")
	b.fill("match", "")
	b.shows("list", "here")
	b.click("#list button", "here")
	b.shows("value", "1")
	g.engineDo("SET", "here", "changed")
	b.shows("value", "changed")
	g.engineDo("SET", "later", "1")
	b.shows("list", "later")
	g.engineDo("DEL", "here")
	b.shows("value", "The key is gone.")

	b.shows("db", "db 3 · 1")
	b.becomes("there", `((d) => { if (d.value !== "3") { d.value = "3"; d.onchange(); } return document.querySelector("#list button span")?.textContent; })(document.getElementById("db"))`)
	b.shows("dbsize", "1 key in database 3")
	b.click("#reconnect", "")
	b.shows("state", "connected")
	b.fill("match", "there")
	b.shows("list", "there")
	b.click("#list button", "there")
	b.shows("value", "3")
	b.deleteKey()
	g.eventually(func() bool { return !strings.Contains(string(g.engineDo("INFO", "keyspace").Str), "db3") }, "it was deleted there")
}
