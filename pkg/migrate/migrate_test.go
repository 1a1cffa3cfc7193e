package migrate

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"byor/pkg/redistest"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// target is a server that answers each command by what says returns, and counts its connections.
func target(t *testing.T, says func(args []string) string) (host, port string, conns *atomic.Int64) {
	conns = new(atomic.Int64)
	host, port, _ = net.SplitHostPort(redistest.Accept(t, func(conn net.Conn) {
		defer conn.Close()
		conns.Add(1)
		rd := resp.NewCommandReader(conn)
		for {
			args, err := rd.ReadCommand()
			if err != nil {
				return
			}
			words := make([]string, len(args))
			for i, a := range args {
				words[i] = string(a)
			}
			io.WriteString(conn, says(words)+"\r\n")
		}
	}))
	return host, port, conns
}

// What is sent is what Redis sends: who logs in does so each time, a database is selected where another one was.
func TestWhatIsSent(t *testing.T) {
	sent := make(chan string, 99)
	host, port, conns := target(t, func(args []string) string {
		sent <- strings.Join(args, " ")
		if args[0] == "RESTORE" && args[1] == "bad" {
			return "-BUSYKEY no"
		}
		return "+OK"
	})
	var p Pool
	defer p.Close()
	r := Request{Host: host, Port: port, Timeout: time.Minute, DB: 2, Auth: [][]byte{[]byte("u"), []byte("p")}, Keys: []Key{{[]byte("k"), 5, []byte("v")}}}
	for _, test := range []struct {
		change func()
		err    error
		taken  []bool
		sent   []string
	}{
		{func() {}, nil, []bool{true}, []string{"AUTH u p", "SELECT 2", "RESTORE k 5 v"}},
		{func() {}, nil, []bool{true}, []string{"AUTH u p", "RESTORE k 5 v"}},
		{func() { r.Auth, r.Replace = nil, true }, nil, []bool{true}, []string{"RESTORE k 5 v REPLACE"}},
		{func() { r.Keys = append(r.Keys, Key{[]byte("bad"), 0, []byte("w")}, r.Keys[0]) }, TargetError("BUSYKEY no"), []bool{true, false, true},
			[]string{"RESTORE k 5 v REPLACE", "RESTORE bad 0 w REPLACE", "RESTORE k 5 v REPLACE"}},
		{func() { r.Keys = r.Keys[:1] }, nil, []bool{true}, []string{"SELECT 2", "RESTORE k 5 v REPLACE"}},
	} {
		test.change()
		taken, err := p.Send(r)
		require.Equal(t, test.err, err)
		require.Equal(t, test.taken, taken)
		for _, line := range test.sent {
			require.Equal(t, line, <-sent)
		}
	}
	require.EqualValues(t, 1, conns.Load())
}

// Nobody's keys count as taken when the database could not be chosen: they are in another one.
func TestRefusedDatabase(t *testing.T) {
	host, port, _ := target(t, func(args []string) string {
		if args[0] == "SELECT" {
			return "-ERR DB index is out of range"
		}
		return "+OK"
	})
	var p Pool
	defer p.Close()
	taken, err := p.Send(Request{Host: host, Port: port, Timeout: time.Minute, DB: 99, Keys: []Key{{Name: []byte("k")}}})
	require.Equal(t, TargetError("ERR DB index is out of range"), err)
	require.Equal(t, "ERR Target instance replied with error: ERR DB index is out of range", err.Error())
	require.Equal(t, []bool{false}, taken)
}

// Connections are kept for a while, and not more than so many.
func TestPoolIsBounded(t *testing.T) {
	var p Pool
	there := map[string]net.Conn{}
	for i := range maxIdle + 5 {
		here, other := net.Pipe()
		addr := fmt.Sprint("h:", i)
		there[addr] = other
		p.put(&conn{Conn: here, addr: addr})
	}
	require.Equal(t, maxIdle, p.Len())
	for addr, c := range p.kept {
		if addr != "h:68" {
			c.idle = time.Now().Add(-idleTime - time.Second)
		}
	}
	p.Tidy()
	require.Equal(t, 1, p.Len())
	closed := 0
	for addr, c := range there {
		if addr != "h:68" {
			_, err := c.Write([]byte("x"))
			require.Error(t, err)
			closed++
		}
	}
	require.Equal(t, maxIdle+4, closed)
	p.Close()
	require.Zero(t, p.Len())
	here, other := net.Pipe()
	p.put(&conn{Conn: here, addr: "h:1"})
	_, err := other.Write([]byte("x"))
	require.Error(t, err, "it is kept no more")
}
