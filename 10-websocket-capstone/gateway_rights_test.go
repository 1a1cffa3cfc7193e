package main

import (
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

const lacksKey = "this user has no permissions to access one of the keys used as arguments"

// A browser logs in as any user and may do what that user may, in both protocols; the end of the user is its end.
func TestUsersOverWebSocket(t *testing.T) {
	g := startGateway(t, withPassword, "--requirepass", "secret", "--user ann on >pw +get +set +multi +exec +subscribe ~a* &news")
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"hello","auth":{"user":"ann","pass":"secret"}}`,
		`{"id":1,"error":{"code":"WRONGPASS","message":"invalid username-password pair or user is disabled.","retry":false}}`)
	p.say(`{"id":2,"op":"hello","auth":{"user":"ann","pass":"pw"}}`)
	require.Contains(t, p.hear(), `"user":"ann"`)
	p.expect(`{"id":3,"op":"cmd","args":["SET","a","1"]}`, `{"id":3,"result":"OK"}`)
	p.expect(`{"id":4,"op":"cmd","args":["GET","b"]}`, denied(4, lacksKey))
	p.expect(`{"id":5,"op":"cmd","args":["DEL","a"]}`, denied(5, "this user has no permissions to run the 'del' command"))
	p.expect(`{"id":6,"op":"sub","channels":["other"]}`, denied(6, "this user has no permissions to access one of the channels used as arguments"))
	p.expect(`{"id":7,"op":"sub","channels":["news"]}`, `{"id":7,"result":{"subscribed":["news"]}}`)

	q := g.dial(protoRESP)
	q.raw(command("AUTH", "ann", "pw") + command("MULTI") + command("GET", "a") + command("GET", "b") + command("EXEC"))
	q.hearRaw("+OK\r\n+OK\r\n+QUEUED\r\n-NOPERM " + lacksKey + "\r\n-EXECABORT Transaction discarded because of previous errors.\r\n")
	require.EqualValues(t, 1, g.engineDo("ACL", "DELUSER", "ann").Int)
	if ownOf(t) != nil {
		p.expectClose(websocket.ClosePolicyViolation)
		q.expectClose(websocket.ClosePolicyViolation)
		return
	}
	p.closed()
	q.closed()
}

// Where default is off, a browser has to log in although there is no password; the gateway itself need not.
func TestGatewayWithoutDefaultUser(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, func(o *gatewayOptions) { o.Locked = func() bool { return true } },
		"--user default off", "--user ann on >pw +@all ~*")
	require.True(t, g.engineDo("ACL", "WHOAMI").Null)
	require.EqualValues(t, 0, g.engineDo("DBSIZE").Int)
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"cmd","args":["PING"]}`, `{"id":1,"error":{"code":"NOAUTH","message":"log in first, with hello","retry":false}}`)
	p.say(`{"id":2,"op":"hello","auth":{"user":"ann","pass":"pw"}}`)
	require.Contains(t, p.hear(), `"user":"ann"`)
	p.expect(`{"id":3,"op":"cmd","args":["PING"]}`, `{"id":3,"result":"PONG"}`)
}
