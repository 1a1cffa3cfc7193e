package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// heardPush is what comes of a channel.
type heardPush struct {
	Push, Pattern, Channel, Data, Entry string
}

func (p *peer) hearPush() (m heardPush) {
	p.t.Helper()
	line := p.hear()
	require.NoError(p.t, json.Unmarshal([]byte(line), &m), line)
	require.NotEmpty(p.t, m.Push, line)
	return m
}

// heardSub is the answer to a sub that asks for the past.
type heardSub struct {
	ID     int
	Result struct {
		Subscribed []string
		Recovered  *bool
		Holes      []string
		Last       map[string]string
	}
}

func (p *peer) sub(op string) (s heardSub) {
	p.t.Helper()
	p.say(op)
	line := p.hear()
	require.NoError(p.t, json.Unmarshal([]byte(line), &s), line)
	require.NotNil(p.t, s.Result.Recovered, line)
	return s
}

func TestJSONHistory(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, nil, "--history", "room:*=3", "--history", "news=10,1h")
	p := g.dial(protoJSON)
	s := p.sub(`{"id":1,"op":"sub","channels":["room:1"],"last":50}`)
	require.True(t, *s.Result.Recovered)
	require.Equal(t, map[string]string{"room:1": "0-0"}, s.Result.Last)
	var entries []string
	for i := range 5 { // from outside
		require.Equal(t, int64(1), g.engineDo("PUBLISH", "room:1", fmt.Sprint(i)).Int)
		m := p.hearPush()
		require.Equal(t, heardPush{"message", "", "room:1", fmt.Sprint(i), m.Entry}, m)
		entries = append(entries, m.Entry)
	}
	require.Len(t, g.engineDo("XRANGE", "history:room:1", "-", "+").Elems, 4)

	// Another one gets the last ones, then what comes, with presence and a pattern beside.
	q := g.dial(protoJSON)
	q.say(`{"id":1,"op":"sub","channels":["room:1","news","plain"],"patterns":["room:*"],"last":2,"presence":true}`)
	answer := q.hear()
	require.Contains(t, answer, `"subscribed":["room:1","news","plain","room:*"],"presence":{`)
	require.Contains(t, answer, fmt.Sprintf(`"recovered":false,"holes":["plain"],"last":{"room:1":%q,"news":"0-0"}`, entries[4]))
	for i := 3; i < 5; i++ {
		require.Equal(t, heardPush{"message", "", "room:1", fmt.Sprint(i), entries[i]}, q.hearPush())
	}
	g.dial(protoJSON).expect(`{"id":1,"op":"pub","channel":"room:1","data":{"b64":"/wA="}}`, `{"id":1,"result":3}`)
	for {
		line := q.hear()
		if strings.Contains(line, `"presence"`) {
			continue
		}
		require.Contains(t, line, `{"push":"message","channel":"room:1","data":{"b64":"/wA="},"entry":"`)
		break
	}
	require.Contains(t, q.hear(), `{"push":"pmessage","pattern":"room:*","channel":"room:1","data":{"b64":"/wA="},"entry":"`)
	// An ordinary sub hears the entries as well, so that it can come back with since.
	plain := g.dial(protoJSON)
	plain.expect(`{"id":1,"op":"sub","channels":["news","plain"]}`, `{"id":1,"result":{"subscribed":["news","plain"]}}`)
	g.engineDo("PUBLISH", "news", "n")
	require.NotEmpty(t, plain.hearPush().Entry)
	g.engineDo("PUBLISH", "plain", "n")
	require.Empty(t, plain.hearPush().Entry)
}

func TestJSONResume(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, nil, "--history", "room:*=3")
	p := g.dial(protoJSON)
	s := p.sub(`{"id":1,"op":"sub","channels":["room:1"],"last":0}`)
	var entries []string
	for i := range 5 {
		g.engineDo("PUBLISH", "room:1", fmt.Sprint(i))
		entries = append(entries, p.hearPush().Entry)
	}
	since := func(id string) string {
		return fmt.Sprintf(`{"id":2,"op":"sub","channels":["room:1","room:2"],"since":{"room:1":%q}}`, id)
	}
	for from, id := range entries {
		q := g.dial(protoJSON)
		s := q.sub(since(id))
		require.Equal(t, from > 0, *s.Result.Recovered, from)
		require.Equal(t, map[string]string{"room:1": entries[4], "room:2": "0-0"}, s.Result.Last)
		if from == 0 {
			require.Equal(t, []string{"room:1"}, s.Result.Holes)
		}
		for i := from + 1; i < 5; i++ {
			require.Equal(t, heardPush{"message", "", "room:1", fmt.Sprint(i), entries[i]}, q.hearPush())
		}
		q.expect(`{"id":3,"op":"ping"}`, `{"id":3,"result":"PONG"}`)
	}
	require.False(t, *g.dial(protoJSON).sub(since(s.Result.Last["room:1"])).Result.Recovered)
	require.False(t, *g.dial(protoJSON).sub(since("18446744073709551615-0")).Result.Recovered)
	require.True(t, *g.dial(protoJSON).sub(`{"id":1,"op":"sub","channels":["room:9"],"since":{"room:9":"0-0"}}`).Result.Recovered)
	_, metrics := g.get("/metrics")
	for name, n := range map[string]int{"history_hits": 5, "history_misses": 3} {
		require.Regexp(t, fmt.Sprintf(`(?m)^\S*%s %d$`, name, n), metrics)
	}
}

func TestJSONHistoryMistakes(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, func(o *gatewayOptions) { o.MaxSubscriptions = 3 }, "--history", "room:*=3")
	p := g.dial(protoJSON)
	wrong := func(op, code, message string) {
		t.Helper()
		p.say(op)
		require.JSONEq(t, fmt.Sprintf(`{"id":1,"error":{"code":%q,"message":%q,"retry":false}}`, code, message), p.hear())
	}
	for _, last := range []string{`-1`, `1.5`, `"3"`, `null`, `[]`, `99999999999`} {
		wrong(`{"id":1,"op":"sub","channels":["room:1"],"last":`+last+`}`, "ERR", "last must be a number of messages, from 0 on")
	}
	wrong(`{"id":1,"op":"sub","patterns":["room:*"],"last":1}`, "ERR", "last and since are for channels; a pattern has no history")
	wrong(`{"id":1,"op":"sub","channels":["room:1"],"since":{"room:2":"1-1"}}`, "ERR", "since names a channel that is not among channels")
	wrong(`{"id":1,"op":"sub","channels":["room:1","room:2"],"since":{"room:2":"x"}}`, "ERR", "SINCE takes the ID of an entry, such as 1700000000000-0")
	wrong(`{"id":1,"op":"cmd","args":["HISTORY.SUBSCRIBE","room:1","LAST","1"]}`, "NOPERM", "use the operation sub, with last or since")
	wrong(`{"id":1,"op":"sub","channels":["room:1","b","c","d"],"last":1}`, "LIMIT", "too many subscriptions")
	require.Empty(t, g.engineDo("PUBSUB", "CHANNELS").Elems, "nothing was subscribed to by halves")
	p.sub(`{"id":1,"op":"sub","channels":["room:1"],"last":1}`)
	p.expect(`{"id":2,"op":"unsub","channels":["room:1"]}`, `{"id":2,"result":{"unsubscribed":["room:1"]}}`)
	p.sub(`{"id":1,"op":"sub","channels":["room:1","room:2","room:3"],"last":1}`)

	raw := g.dial(protoRESP)
	raw.raw(command("HISTORY.SUBSCRIBE", "room:1", "LAST", "1", "b", "LAST", "1", "c", "LAST", "1", "d", "LAST", "1"))
	raw.hearRaw(refusedRaw(t, "HISTORY.SUBSCRIBE", "too many subscriptions"))
}

// What an operation that fails leaves subscribed counts, and what it does not, does not: also in a hurry.
func TestFailedSubscriptionsCount(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, func(o *gatewayOptions) { o.MaxSubscriptions = 3 }, "--history", "room:*=3")
	g.engineDo("ACL", "SETUSER", "ann", "on", ">x", "+@all", "resetchannels", "&room:*", "~*")
	p := g.dial(protoJSON)
	p.say(`{"id":1,"op":"hello","auth":{"user":"ann","pass":"x"}}`)
	require.Contains(t, p.hear(), `"result"`)
	for i := range 9 { // each pair leaves a subscription; the second half of the latter pairs is one too many
		p.say(fmt.Sprintf(`{"id":2,"op":"sub","channels":["room:%d"],"since":{"room:%[1]d":"x"}}`+"\n"+`{"id":3,"op":"sub","channels":["room:%[1]d"],"last":1}`, i))
		first, second := p.hear(), p.hear()
		if i < 3 {
			require.Contains(t, first, `"code":"ERR"`)
			require.Contains(t, second, `"recovered":true`)
		} else {
			require.Contains(t, first+second, `"code":"LIMIT"`)
		}
	}
	require.Len(t, g.engineDo("PUBSUB", "CHANNELS").Elems, 3)
	var gone struct {
		Result struct{ Unsubscribed []string }
	}
	p.say(`{"id":4,"op":"unsub"}`)
	require.NoError(t, json.Unmarshal([]byte(p.hear()), &gone))
	slices.Sort(gone.Result.Unsubscribed)
	require.Equal(t, []string{"room:0", "room:1", "room:2"}, gone.Result.Unsubscribed)
	p.say(`{"id":5,"op":"sub","channels":["room:1","room:2"],"patterns":["denied*"]}`)
	require.Contains(t, p.hear(), `"code":"NOPERM"`)
	require.Len(t, g.engineDo("PUBSUB", "CHANNELS").Elems, 2) // the half that succeeded stays, and counts
	p.say(`{"id":6,"op":"sub","channels":["room:3","room:4"]}`)
	require.Contains(t, p.hear(), `"code":"LIMIT"`)
	p.expect(`{"id":7,"op":"sub","channels":["room:3"]}`, `{"id":7,"result":{"subscribed":["room:3"]}}`)
}

// A user without the right to a channel gets nothing of its past.
func TestJSONHistoryRights(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, nil, "--history", "room:*=3")
	g.engineDo("ACL", "SETUSER", "ann", "on", ">x", "+@all", "resetchannels", "&room:1", "~*")
	for _, c := range []string{"room:1", "room:2"} {
		g.engineDo("PUBLISH", c, "secret")
	}
	p := g.dial(protoJSON)
	p.say(`{"id":1,"op":"hello","auth":{"user":"ann","pass":"x"}}`)
	require.Contains(t, p.hear(), `"result"`)
	p.say(`{"id":2,"op":"sub","channels":["room:1","room:2"],"last":3}`)
	require.Contains(t, p.hear(), `"code":"NOPERM"`)
	p.sub(`{"id":3,"op":"sub","channels":["room:1"],"last":3}`)
	require.Equal(t, "secret", p.hearPush().Data)
}

// A replay that is longer than the queue is sent as answers are: the peer may take its time.
func TestHistoryLargerThanTheQueue(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue = 128 << 10 }, "--history", "room:*=100")
	big := strings.Repeat("x", 40<<10)
	for i := range 100 {
		g.engineDo("PUBLISH", "room:1", fmt.Sprint(i, big))
	}
	t.Run("json", func(t *testing.T) {
		p := g.dial(protoJSON)
		p.SetReadLimit(1 << 30)
		require.True(t, *p.sub(`{"id":1,"op":"sub","channels":["room:1"],"last":100}`).Result.Recovered)
		require.Equal(t, int64(1), g.engineDo("PUBLISH", "room:1", "live").Int)
		for i := range 100 {
			require.Equal(t, fmt.Sprint(i, big), p.hearPush().Data)
		}
		require.Equal(t, "live", p.hearPush().Data)
	})
	for proto, hello := range map[string]string{"RESP2": "", "RESP3": command("HELLO", "3")} {
		t.Run(proto, func(t *testing.T) {
			p := g.dial(protoRESP)
			r := resp.NewReader(&frames{p: p})
			if hello != "" {
				p.raw(hello)
				_, err := r.ReadValue()
				require.NoError(t, err)
			}
			p.raw(command("HISTORY.SUBSCRIBE", "room:1", "LAST", "99"))
			v, err := r.ReadValue()
			require.NoError(t, err)
			require.Equal(t, int64(99), v.Elems[5].Int)
			require.NotZero(t, g.engineDo("PUBLISH", "room:1", "live").Int)
			for range 99 {
				v, err = r.ReadValue()
				require.NoError(t, err)
				require.Len(t, v.Elems, 4)
			}
			v, err = r.ReadValue()
			require.NoError(t, err)
			require.Equal(t, "live", string(v.Elems[2].Str))
		})
	}
	require.Zero(t, g.metrics.closesOf(closeSlow))
}

// redis-cli PUBLISH on a real master reaches a browser of our replica, with a history that the master knows nothing of.
func TestBrowserBehindARealMaster(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t, t.TempDir(), "--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0")
	withOwnEngine(t)
	g := startGateway(t, nil, "--history", "room:*=10", "--enable-debug-command", "yes", "--replicaof", strings.Replace(master, ":", " ", 1))
	theirs := redistest.Connect(t, master)
	linked := func() bool { return strings.Contains(string(g.engineDo("INFO", "replication").Str), "link_status:up") }
	g.eventually(linked, "the replica is there")
	p := g.dial(protoJSON)
	s := p.sub(`{"id":1,"op":"sub","channels":["room:1"],"last":10}`)
	require.True(t, *s.Result.Recovered)
	require.NotEmpty(t, s.Result.Last["room:1"])
	for _, data := range []string{"a", "b"} {
		theirs.Want("PUBLISH room:1 "+data, ":0")
	}
	a, b := p.hearPush(), p.hearPush()
	require.Equal(t, "a b", a.Data+" "+b.Data)
	require.NoError(t, p.Close())

	watch := g.dial(protoJSON) // tells when the replica has got the next ones
	watch.sub(`{"id":1,"op":"sub","channels":["room:1"],"since":{"room:1":"` + b.Entry + `"}}`)
	for _, data := range []string{"c", "d"} {
		theirs.Want("PUBLISH room:1 "+data, ":0")
		require.Equal(t, data, watch.hearPush().Data)
	}
	for since, missed := range map[string]string{a.Entry: "b c d", b.Entry: "c d", s.Result.Last["room:1"]: "a b c d"} {
		p := g.dial(protoJSON)
		require.True(t, *p.sub(`{"id":1,"op":"sub","channels":["room:1"],"since":{"room:1":"` + since + `"}}`).Result.Recovered)
		var got []string
		for range strings.Fields(missed) {
			got = append(got, p.hearPush().Data)
		}
		require.Equal(t, missed, strings.Join(got, " "))
	}
	require.Equal(t, redistest.Show(theirs.Do("DEBUG DIGEST")), redistest.Show(g.engineDo("DEBUG", "DIGEST")))
	require.Zero(t, g.engineDo("DBSIZE").Int)

	// The data are replaced by another master's: the browser has to come back, and hears of the hole.
	other := redistest.Start(t, t.TempDir(), "--repl-diskless-sync-delay", "0")
	host, port, _ := strings.Cut(other, ":")
	g.engineDo("REPLICAOF", host, port)
	code, reason := watch.closed()
	require.Equal(t, websocket.CloseServiceRestart, code, reason)
	g.eventually(linked, "the replica is there again")
	require.False(t, *g.dial(protoJSON).sub(`{"id":1,"op":"sub","channels":["room:1"],"since":{"room:1":"` + b.Entry + `"}}`).Result.Recovered)
}

// A browser's pub on our master reaches the history that a real replica has.
func TestBrowserPublishesForARealReplica(t *testing.T) {
	bin := redistest.Program(t, "10-websocket-capstone")
	server := launch(t, bin, t.TempDir(), "--history", "room:*=10", "--repl-diskless-sync-delay", "0")
	replica := redistest.Connect(t, redistest.Start(t, t.TempDir(), "--replicaof", strings.Replace(server.addr(), ":", " ", 1)))
	replica.Becomes("master_link_status", "up")
	page, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.page, "http")+"ws", nil)
	require.NoError(t, err)
	defer page.Close()
	require.NoError(t, page.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"op":"pub","channel":"room:1","data":"from the page"}`)))
	_, answer, err := page.ReadMessage()
	require.NoError(t, err)
	require.JSONEq(t, `{"id":1,"result":0}`, string(answer))
	require.Eventually(t, func() bool { return replica.Do("XLEN history:room:1").Int == 1 }, patience, time.Millisecond)
	require.Contains(t, redistest.Show(replica.Do("XRANGE history:room:1 - +")), `*["data" "from the page"]`)
}

// Kept messages are answers, live ones are not, wherever the stream is cut into pieces.
func TestKeptMessagesAreAnswers(t *testing.T) {
	for _, kind := range []string{"*", ">"} {
		confirm := kind + "6\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n:1\r\n$3\r\n1-2\r\n:2\r\n"
		message := kind + "4\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n$3\r\n1-1\r\n"
		pattern := kind + "5\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$2\r\nhi\r\n$3\r\n1-1\r\n"
		plain := kind + "6\r\n$9\r\nunrelated\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n"
		stream := "+OK\r\n" + confirm + message + message + message + ":1\r\n" + pattern + confirm + message + pattern + ":2\r\n" + message
		answers := "+OK\r\n" + confirm + message + message + ":1\r\n" + confirm + message + pattern + ":2\r\n"
		if kind == "*" {
			stream, answers = stream+plain, answers+plain // as RESP3 it would be a push
		}
		for size := 1; size <= len(stream); size++ {
			var c respCutter
			var held []byte
			got := ""
			for at := 0; at < len(stream); at += size {
				held = append(held, stream[at:min(at+size, len(stream))]...)
				for len(held) > 0 {
					n, push := c.next(held)
					if n == 0 {
						break
					}
					if !push {
						got += string(held[:n])
					}
					held = held[n:]
				}
			}
			require.Empty(t, held)
			require.Equal(t, answers, got, "pieces of %d", size)
		}
	}
}
