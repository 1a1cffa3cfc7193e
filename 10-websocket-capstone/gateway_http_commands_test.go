package main

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/resp"
)

// Commands over plain HTTP: what may be asked, how, and what the answers look like.

var httpCommandCases = []struct {
	method, path, contentType, body string
	status                          int
	want                            string
}{
	{"POST", "/c/SET/greeting/hello", "", "", 200, `{"result":"OK"}`},
	{"GET", "/c/GET/greeting", "", "", 200, `{"result":"hello"}`},
	{"GET", "/c/get/greeting.json", "", "", 200, `{"result":"hello"}`},
	{"GET", "/c/GET/greeting.txt", "", "", 200, "hello\n"},
	{"GET", "/c/GET/greeting.raw", "", "", 200, "hello"},
	{"GET", "/c/GET/nothing", "", "", 200, `{"result":null}`},
	{"GET", "/c/GET/nothing.txt", "", "", 404, "ERR there is no such value\n"},
	{"GET", "/c/GET/nothing.raw", "", "", 404, "ERR there is no such value\n"},
	// What stands between two slashes is an argument, whatever it is.
	{"POST", "/c/SET/a%2Fb%20%25/", "", "", 200, `{"result":"OK"}`},
	{"GET", "/c/GET/a%2Fb%20%25", "", "", 200, `{"result":""}`},
	{"POST", "/c/MSET//x/../y/%2E/z", "", "", 200, `{"result":"OK"}`},
	{"GET", "/c/MGET//../.", "", "", 200, `{"result":["x","y","z"]}`},
	{"GET", "/c/ECHO/a+b", "", "", 200, `{"result":"a+b"}`},
	{"GET", "/c/ECHO/%ff%00", "", "", 200, `{"result":{"b64":"/wA="}}`},
	{"GET", "/c/ECHO/a.txt.json", "", "", 200, `{"result":"a.txt"}`},
	{"GET", "/c/ECHO/a%2Etxt", "", "", 200, `{"result":"a.txt"}`},
	// A body of bytes is the last argument, an empty one, too.
	{"POST", "/c/SET/picture", "application/octet-stream", "\x89PNG\r\n\x00", 200, `{"result":"OK"}`},
	{"GET", "/c/GET/picture.raw", "", "", 200, "\x89PNG\r\n\x00"},
	{"POST", "/c/SET/picture", "application/octet-stream", "", 200, `{"result":"OK"}`},
	{"GET", "/c/STRLEN/picture", "", "", 200, `{"result":0}`},
	// JSON has the values of the WebSocket protocol.
	{"POST", "/c", "application/json; charset=utf-8", ` ["SET", "n", 9007199254740993] `, 200, `{"result":"OK"}`},
	{"POST", "/c", "application/json", `["INCR","n"]`, 200, `{"result":{"int":"9007199254740994"}}`},
	{"POST", "/c.txt", "application/json", `["INCR","n"]`, 200, "9007199254740995\n"},
	{"POST", "/c.raw", "application/json", `["INCR","n"]`, 200, "9007199254740996"},
	{"POST", "/c.json", "application/json", `["SET",{"b64":"/wA="},{"int":"5"}]`, 200, `{"result":"OK"}`},
	{"GET", "/c/GET/%FF%00", "", "", 200, `{"result":"5"}`},
	{"POST", "/c/HSET/h/f/v", "", "", 200, `{"result":1}`},
	{"GET", "/c/HGETALL/h", "", "", 200, `{"result":{"map":[["f","v"]]}}`},
	{"GET", "/c/HGETALL/h.txt", "", "", 200, "f\nv\n"},
	{"GET", "/c/HGETALL/h.raw", "", "", 406, "ERR this reply is a list; raw is for one value\n"},
	{"GET", "/c/MGET/greeting/nothing.txt", "", "", 200, "hello\n\n"},
	{"POST", "/c/ZADD/z/1.5/m", "", "", 200, `{"result":1}`},
	{"GET", "/c/ZSCORE/z/m", "", "", 200, `{"result":1.5}`},
	{"GET", "/c/ZSCORE/z/m.raw", "", "", 200, "1.5"},
	{"POST", "/c/EVAL/return%20%7B1,%7B2%7D%7D/0.txt", "", "", 200, "1\n2\n"},
	// Errors
	{"POST", "/c/LPUSH/greeting/x", "", "", 400, `{"error":{"code":"WRONGTYPE","message":"Operation against a key holding the wrong kind of value","retry":false}}`},
	{"POST", "/c/LPUSH/greeting/x.txt", "", "", 400, "WRONGTYPE Operation against a key holding the wrong kind of value\n"},
	{"GET", "/c/GET", "", "", 400, `{"error":{"code":"ERR","message":"wrong number of arguments for 'get' command","retry":false}}`},
	{"GET", "/c/", "", "", 400, `{"error":{"code":"ERR","message":"the path must name a command, as in /c/GET/key","retry":false}}`},
	{"GET", "/c", "", "", 405, `{"error":{"code":"ERR","message":"allowed methods are POST, OPTIONS","retry":false}}`},
	{"DELETE", "/c/GET/x", "", "", 405, `{"error":{"code":"ERR","message":"allowed methods are GET, HEAD, POST, OPTIONS","retry":false}}`},
	{"PUT", "/c/SET/x", "application/octet-stream", "v", 405, `{"error":{"code":"ERR","message":"allowed methods are GET, HEAD, POST, OPTIONS","retry":false}}`},
}

func TestHTTPCommands(t *testing.T) {
	g := startHTTP(t, nil)
	for _, c := range httpCommandCases {
		req := g.request(t.Context(), c.method, c.path, c.body)
		if c.contentType != "" {
			req.Header.Set("Content-Type", c.contentType)
		}
		r, err := http.DefaultTransport.RoundTrip(req) // which follows no redirects
		require.NoError(t, err)
		body := readAll(t, r)
		require.Equal(t, c.status, r.StatusCode, "%s %s: %s", c.method, c.path, body)
		if strings.HasPrefix(c.want, "{") {
			require.JSONEq(t, c.want, body, c.path)
			require.Equal(t, "application/json", r.Header.Get("Content-Type"), c.path)
		} else {
			require.Equal(t, c.want, body, c.path)
		}
		require.Equal(t, "nosniff", r.Header.Get("X-Content-Type-Options"))
		require.Contains(t, r.Header.Get("Content-Security-Policy"), "sandbox")
		require.NotContains(t, r.Header.Get("Content-Type"), "html")
	}
	g.eventually(func() bool { return g.places() == 0 }, "every place is given back")
}

func TestHTTPCommandsAreOffByDefault(t *testing.T) {
	g := startGateway(t, nil)
	for _, path := range []string{"/c", "/c/PING", "/c.txt"} {
		r, body := g.ask("POST", path, "")
		require.Equal(t, 404, r.StatusCode)
		require.Contains(t, body, "http-commands")
	}
	r, _ := g.get("/client.jpg")
	require.Equal(t, 404, r.StatusCode)
}

// A body in any form that a page can send without asking (a form, a text) is refused, and so is one that is no command.
func TestHTTPBodiesThatAreRefused(t *testing.T) {
	g := startHTTP(t, func(o *gatewayOptions) { o.MaxMessage = 1000 })
	set := `["SET","k","v"]`
	for _, form := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "application/json, text/plain"} {
		for path, want := range map[string]string{"/c": "application/json", "/c/SET/k": "application/octet-stream"} {
			headers := []string{"Content-Type", form}
			if form == "" {
				headers = nil
			}
			r, body := g.ask("POST", path, set, headers...)
			require.Equal(t, 415, r.StatusCode, "%s %q: %s", path, form, body)
			require.Equal(t, want, r.Header.Get("Accept-Post"))
		}
	}
	r, _ := g.post(set, "Content-Encoding", "gzip")
	require.Equal(t, 415, r.StatusCode)
	for body, want := range map[string]string{
		`{"SET":"k"}`: "JSON array", `"SET"`: "JSON array", `null`: "JSON array", ``: "JSON array", `["SET","k"`: "JSON array", set + set: "JSON array",
		`[]`: "name", `[""]`: "name", `[null]`: "argument is", `["SET",["k"],"v"]`: "argument is", `["SET","k",true]`: "argument is",
		`["SET","k",{"b64":"*"}]`: "argument is", "[\"SET\",\"k\",\"\xff\"]": "UTF-8", strings.Repeat("[", 999): "JSON array",
	} {
		r, text := g.post(body)
		require.Equal(t, 400, r.StatusCode, "%s: %s", body, text)
		require.Contains(t, text, want, body)
	}
	r, body := g.post(`["SET","k","` + strings.Repeat("v", 1000) + `"]`)
	require.Equal(t, 413, r.StatusCode)
	require.Contains(t, body, "ws-max-message")
	require.Zero(t, g.engineDo("EXISTS", "k").Int, "nothing was executed")
}

// GET must change nothing: each command of the engine that writes is refused, by itself and as a subcommand.
func TestHTTPGetOnlyReads(t *testing.T) {
	g := startHTTP(t, nil)
	g.guard = newGuard(administrative) // so that the deny-list refuses none of them
	writes, reads := 0, 0
	var each func(commands []resp.Value)
	each = func(commands []resp.Value) {
		for _, c := range commands {
			name, flags := string(c.Elems[0].Str), ""
			for _, f := range c.Elems[2].Elems {
				flags += string(f.Str) + " "
			}
			if strings.HasSuffix(name, "subscribe") {
				continue // a stream would not end
			}
			r, body := g.ask("GET", "/c/"+strings.ReplaceAll(name, "|", "/")+"/a/b/c", "")
			switch {
			case strings.Contains(flags, "write") || strings.Contains(flags, "admin") && !harmless[strings.Split(name, "|")[0]]:
				writes++
				require.Contains(t, []int{403, 405}, r.StatusCode, "%s: %s", name, body)
			case strings.Contains(flags, "readonly"):
				reads++
				require.NotContains(t, []int{403, 405}, r.StatusCode, "%s: %s", name, body)
			}
			if len(c.Elems) > 9 {
				each(c.Elems[9].Elems)
			}
		}
	}
	each(g.engineDo("COMMAND").Elems)
	require.Greater(t, writes, 100)
	require.Greater(t, reads, 50)
	for _, path := range []string{"/c/SET/k/v", "/c/EVAL/return%201/0", "/c/PUBLISH/c/m", "/c/FCALL/f/0", "/c/SORT/k", "/c/SPUBLISH/c/m", "/c/CLIENT/ID", "/c/CLIENT/UNBLOCK/1"} {
		for _, method := range []string{"GET", "HEAD"} {
			r, _ := g.ask(method, path, "")
			require.Equal(t, 405, r.StatusCode, path)
			require.Equal(t, "POST, OPTIONS", r.Header.Get("Allow"))
		}
	}
	for _, path := range []string{"/c/XINFO/STREAM/k", "/c/MEMORY/USAGE/k", "/c/OBJECT/ENCODING/k", "/c/EVAL_RO/return%201/0", "/c/SORT_RO/k", "/c/COMMAND/COUNT", "/c/INFO/server"} {
		r, body := g.ask("GET", path, "")
		require.Contains(t, []int{200, 400}, r.StatusCode, "%s: %s", path, body)
	}
}

// What a browser may not do over WebSocket it may not do over HTTP, and a request changes no session.
func TestHTTPCommandsThatAreDenied(t *testing.T) {
	g := startHTTP(t, nil)
	for _, name := range administrative {
		path := "/c/" + strings.ReplaceAll(strings.ToUpper(name), "|", "/") + "/x"
		for _, method := range []string{"GET", "POST"} {
			r, body := g.ask(method, path, "")
			require.Equal(t, 403, r.StatusCode, path)
			require.Contains(t, body, "administrative commands are denied")
		}
	}
	for name := range ofASession {
		if g.guard.denied[name] {
			continue
		}
		path := "/c/" + strings.ReplaceAll(name, "|", "/")
		r, body := g.ask("POST", path, "")
		require.Equal(t, 403, r.StatusCode, "%s: %s", path, body)
		require.Contains(t, body, "NOPERM")
	}
	r, body := g.ask("POST", "/c/SUBSCRIBE/c", "")
	require.Equal(t, 403, r.StatusCode)
	require.Contains(t, body, "GET")
	r, body = g.ask("POST", "/c/PUBLISH/__presence__:room/x", "")
	require.Equal(t, 403, r.StatusCode)
	require.Contains(t, body, "presence is announced by the server only")

	g.guard = newGuard([]string{"config|get"})
	r, body = g.ask("POST", "/c/CONFIG/GET/maxclients", "")
	require.Equal(t, 200, r.StatusCode, body)
	r, _ = g.ask("POST", "/c/CONFIG/SET/maxclients/1", "")
	require.Equal(t, 403, r.StatusCode)
}

// A renamed command is judged by what it does.
func TestHTTPRenamedCommands(t *testing.T) {
	renamings := []string{"--rename-command", "CONFIG", "cfg", "--rename-command", "SET", "put", "--rename-command", "GET", "fetch", "--rename-command", "MULTI", "begin"}
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs(renamings))
	g := startHTTP(t, func(o *gatewayOptions) { o.Born = cfg.BornName }, renamings...)
	for path, want := range map[string]int{"/c/CFG/GET/x": 403, "/c/begin": 403, "/c/put/k/v": 405, "/c/fetch/k": 200, "/c/GET/k": 404, "/c/SET/k/v": 404, "/c/%ff%00%0a": 404} {
		r, body := g.ask("GET", path, "")
		require.Equal(t, want, r.StatusCode, "%s: %s", path, body)
	}
}

func TestHTTPETag(t *testing.T) {
	g := startHTTP(t, nil)
	g.engineDo("SET", "k", "v")
	r, _ := g.ask("GET", "/c/GET/k", "")
	tag := r.Header.Get("ETag")
	require.Regexp(t, `^"[\w-]{20}"$`, tag)
	require.Equal(t, "private, no-cache", r.Header.Get("Cache-Control"))
	for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		r, body := g.ask("GET", "/c/GET/k", "", "If-None-Match", match)
		require.Equal(t, 304, r.StatusCode, match)
		require.Empty(t, body)
		require.Equal(t, tag, r.Header.Get("ETag"))
	}
	r, _ = g.ask("GET", "/c/GET/k.txt", "", "If-None-Match", tag)
	require.Equal(t, 200, r.StatusCode, "another format is another thing")
	r, _ = g.ask("HEAD", "/c/GET/k", "")
	require.Equal(t, tag, r.Header.Get("ETag"))
	require.EqualValues(t, len("{\"result\":\"v\"}\n"), r.ContentLength)
	g.engineDo("SET", "k", "w")
	r, body := g.ask("GET", "/c/GET/k", "", "If-None-Match", tag)
	require.Equal(t, 200, r.StatusCode)
	require.JSONEq(t, `{"result":"w"}`, body)
	r, _ = g.ask("POST", "/c/GET/k", "", "If-None-Match", "*")
	require.Equal(t, 200, r.StatusCode)
	require.Equal(t, "no-store", r.Header.Get("Cache-Control"))
	require.Empty(t, r.Header.Get("ETag"))
}

func TestStatusOfErrors(t *testing.T) {
	for text, want := range map[string]int{
		"WRONGTYPE Operation": 400, "ERR syntax error": 400, "NOSCRIPT No": 400, "BUSYGROUP x": 409, "READONLY You": 409,
		"NOAUTH x": 401, "WRONGPASS x": 401, "NOPERM x": 403, "OOM command": 507, "LOADING x": 503, "BUSY x": 503, "MASTERDOWN x": 503,
		"MISCONF x": 503, "ERR unknown command 'x'": 404, "ERR max number of clients reached": 503, "something": 400, "": 400,
	} {
		require.Equal(t, want, statusOfError(text), text)
	}
	require.Positive(t, refusedBy("LOADING x").retry)
}

// The engine's own limits come through as statuses.
func TestHTTPErrorsOfTheEngine(t *testing.T) {
	g := startHTTP(t, nil, "--maxmemory", "1")
	r, body := g.ask("POST", "/c/SET/k/v", "")
	require.Equal(t, 507, r.StatusCode, body)
	g = startHTTP(t, nil, "--replicaof", "127.0.0.1 1")
	r, body = g.ask("POST", "/c/SET/k/v", "")
	require.Equal(t, 409, r.StatusCode, body)
	g = startHTTP(t, nil, "--maxclients", "1")
	g.engineDo("PING")
	r, body = g.ask("GET", "/c/PING", "")
	require.Equal(t, 503, r.StatusCode, body)
	require.Equal(t, "1", r.Header.Get("Retry-After"))
	g.eventually(func() bool { return g.places() == 0 }, "the place is given back")
}

// Whatever the path is, it stands for one command, which can be written as a path again.
func FuzzHTTPPath(f *testing.F) {
	for _, path := range []string{"GET/key", "SET/a%2Fb/", "ECHO/a.txt.json", "%", "%zz", "", "/", "a//b", "GET/%ff%00.raw", "GET/x.txt"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		rest, format := cutFormat(path)
		require.Contains(t, []string{"json", "txt", "raw"}, format)
		args, err := pathArguments(rest)
		if err != nil {
			require.Nil(t, args)
			return
		}
		require.NotEmpty(t, args[0])
		require.Len(t, args, strings.Count(rest, "/")+1)
		again := make([]string, len(args))
		for i, a := range args {
			again[i] = url.PathEscape(string(a))
		}
		same, err := pathArguments(strings.Join(again, "/"))
		require.NoError(t, err)
		require.Equal(t, args, same)
	})
}

// Whatever the body is, it is refused with a reason or stands for the bytes that it says.
func FuzzHTTPBody(f *testing.F) {
	for _, body := range []string{`["GET","k"]`, `["SET","k",{"b64":"/wA="},1.50,-0]`, `[{"int":"7"}]`, `[]`, `null`, `[[]]`, "[\"\xff\"]", `["\ud800"]`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		args, err := jsonArguments(body)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.NotEmpty(t, args[0])
		again := []string{}
		for _, a := range args {
			again = append(again, `{"b64":"`+base64.StdEncoding.EncodeToString(a)+`"}`)
		}
		same, err := jsonArguments([]byte("[" + strings.Join(again, ",") + "]"))
		require.NoError(t, err)
		require.Equal(t, texts(args), texts(same))
	})
}
