package history_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"byor/pkg/redistest"
	"byor/pkg/redistest/recovery"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// stream is a subscriber's connection by RESP.
type stream struct {
	net.Conn
	r *resp.Reader
}

func (s *stream) Subscribe(channels []string, since map[string]string) error {
	args := []string{"HISTORY.SUBSCRIBE"}
	for _, c := range channels {
		if since[c] != "" {
			args = append(args, c, "SINCE", since[c])
		} else {
			args = append(args, c, "LAST", "0")
		}
	}
	_, err := s.Write(resp.AppendCommandStrings(nil, args...))
	return err
}

func (s *stream) Next() (e recovery.Event, err error) {
	v, err := s.r.ReadValue()
	switch {
	case err != nil:
		return e, err
	case v.IsError():
		return e, fmt.Errorf("%w: %s", recovery.ErrBroken, v.Str)
	case string(v.Elems[0].Str) == "subscribe":
		e.Recovered, e.Last = v.Elems[3].Int == 1, map[string]string{string(v.Elems[1].Str): string(v.Elems[4].Str)}
	case len(v.Elems) != 4:
		return e, fmt.Errorf("%w: a message without an entry: %v", recovery.ErrBroken, v)
	default:
		e.Channel, e.Data, e.Entry = string(v.Elems[1].Str), string(v.Elems[2].Str), string(v.Elems[3].Str)
	}
	return e, nil
}

// Clients whose connections are cut at random moments, while several publishers go on, end with every message, each
// once, in order, as all the others.
func TestRecovery(t *testing.T) {
	t.Run("on the master", func(t *testing.T) {
		_, addr := start(t, nil, "room:*=20000")
		testRecovery(t, addr, addr)
	})
	t.Run("on a replica of ours", func(t *testing.T) {
		_, master := start(t, nil, "room:*=20000")
		_, replica := start(t, nil, "room:*=20000", "--replicaof", hostPort(master))
		dial(t, replica).Becomes("master_link_status", "up")
		testRecovery(t, master, replica)
	})
	t.Run("on our replica of a real Redis", func(t *testing.T) {
		master := redistest.Start(t, t.TempDir(), "--repl-diskless-sync-delay", "0")
		_, replica := start(t, nil, "room:*=20000", "--replicaof", hostPort(master))
		dial(t, replica).Becomes("master_link_status", "up")
		testRecovery(t, master, replica)
	})
}

func testRecovery(t *testing.T, publishAt, followAt string) {
	warm := dial(t, followAt)
	warm.asks("SUBSCRIBE warm", `*["subscribe" "warm" :1]`)
	dial(t, publishAt).publish("warm", "up")
	warm.hears(`*["message" "warm" "up"]`) // a real master begins to send a second after the link is up
	publishers := map[int]client{}
	for p := range recovery.Publishers + 1 {
		publishers[p-1] = dial(t, publishAt)
	}
	said := recovery.Test(t, recovery.Scene{
		Connect: func() (recovery.Stream, error) {
			conn, err := net.Dial("tcp", followAt)
			if err != nil {
				return nil, err
			}
			return &stream{conn, resp.NewReader(conn)}, conn.SetReadDeadline(time.Now().Add(5 * time.Minute))
		},
		Publish: func(p int, channel, data string) error {
			c := publishers[p]
			if _, err := c.Conn.Write(resp.AppendCommandStrings(nil, "PUBLISH", channel, data)); err != nil {
				return err
			}
			v, err := c.R.ReadValue()
			if err == nil {
				err = v.Err()
			}
			return err
		},
	})
	c := dial(t, followAt)
	t.Logf("%s; %s messages were sent again, hits %s, misses %s", said, c.Info("history_replayed"), c.Info("history_hits"), c.Info("history_misses"))
	require.Equal(t, "0", c.Info("history_misses"))
}
