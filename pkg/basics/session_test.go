package basics

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/pubsub"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// recorder keeps what is propagated.
type recorder struct{ got []string }

func (r *recorder) propagate(db int, effect [][]byte) {
	r.got = append(r.got, string(bytes.Join(append([][]byte{{byte('0' + db)}}, effect...), []byte(" "))))
}

func newTestDisk(t *testing.T, data *store.Store) (*Disk, *sync.Mutex) {
	mu := new(sync.Mutex)
	return NewDisk(&Options{Dir: t.TempDir()}, mu, data), mu
}

func TestCall(t *testing.T) {
	d, _ := newTestDisk(t, store.New(16))
	c := NewClient(d, pubsub.NewHub(), nil)
	require.Nil(t, c.Sub, "a log cannot subscribe")
	c.DB = d.Data.DB(2)
	var r recorder
	call := func(line string) string {
		args := bytes.Fields([]byte(line))
		cmd, err := OnData.Find(&c, args)
		require.NoError(t, err)
		c.W.Buf = c.W.Buf[:0]
		cmd.Call(&c, args, r.propagate)
		return string(c.W.Buf)
	}
	require.Equal(t, "+OK\r\n", call("SET a 1"))
	require.Equal(t, "$1\r\n1\r\n", call("GET a"))
	require.Equal(t, ":0\r\n", call("DEL b"))
	require.Equal(t, "-ERR DB index is out of range\r\n", call("SELECT 99"))
	require.Equal(t, "+OK\r\n", call("SELECT 3"))
	require.Equal(t, ":1\r\n", call("INCR n"))
	require.Equal(t, []string{"2 SET a 1", "3 INCR n"}, r.got, "what changed nothing has no effect")
	require.WithinDuration(t, time.Now(), time.UnixMilli(d.Data.Now()), time.Minute)
}

// A reply is in the subscriber's queue before anybody else gets the lock.
func TestEndKeepsTheOrder(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	d, mu := newTestDisk(t, store.New(16))
	hub := pubsub.NewHub()
	c := NewClient(d, hub, here)
	c.Begin()
	require.False(t, mu.TryLock())
	c.Sub.Subscribe(c.W, [][]byte{[]byte("SUBSCRIBE"), []byte("news")})
	c.End()
	require.True(t, mu.TryLock())
	hub.Publish([]byte("news"), []byte("hello"))
	mu.Unlock()
	require.Zero(t, c.W.Len())
	r := resp.NewReader(there)
	for _, want := range []string{"subscribe", "message"} {
		v, err := r.ReadValue()
		require.NoError(t, err)
		require.Equal(t, want, string(v.Elems[0].Str))
	}
	go io.Copy(io.Discard, there)
	c.Sub.Leave()
}

func TestEvery(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	Every(ctx, 0, func() {
		if n++; n == 3 {
			cancel()
		}
	})
	require.Equal(t, 3, n)
}

func TestAccept(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan bool)
	go func() {
		Accept(ln, func(conn net.Conn) { io.WriteString(conn, "hello"); conn.Close() })
		close(done)
	}()
	for range 2 {
		conn, err := (&Options{}).Dial(ln.Addr().String())
		require.NoError(t, err)
		b, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, "hello", string(b))
		conn.Close()
	}
	ln.Close()
	<-done
}

// The lock is free while somebody waits for the end of another snapshot, and held afterwards.
func TestWhenFree(t *testing.T) {
	d, mu := newTestDisk(t, storeWith(t, "SET a 1"))
	mu.Lock()
	require.NoError(t, d.WhenFree(nil), "nothing to wait for")
	other := d.Begin()
	gone := errors.New("gone")
	require.ErrorIs(t, d.WhenFree(func() error { return gone }), gone)
	require.False(t, mu.TryLock())
	asked := 0
	require.NoError(t, d.WhenFree(func() error {
		if asked++; asked == 2 {
			d.End(other) // takes the lock
		}
		return nil
	}))
	require.False(t, mu.TryLock())
	require.Equal(t, 2, asked)
}

func TestTempFile(t *testing.T) {
	d, mu := newTestDisk(t, storeWith(t, "SET a 1", "SET b 2"))
	mu.Lock()
	dump := d.Begin()
	mu.Unlock()
	file, size, err := d.TempFile(dump)
	require.NoError(t, err)
	require.Nil(t, d.Dump, "it is ended")
	b, err := io.ReadAll(file)
	require.NoError(t, err)
	require.Len(t, b, int(size))
	require.NoError(t, file.Close())
	left, err := os.ReadDir(d.Dir)
	require.NoError(t, err)
	require.Empty(t, left)

	fresh, err := LoadBeside(bytes.NewReader(b), d.Data)
	require.NoError(t, err)
	require.Equal(t, 2, fresh.DB(0).Len())
	_, err = LoadBeside(strings.NewReader("REDIS"), d.Data)
	require.Error(t, err)

	mu.Lock()
	dump = d.Begin()
	dump.Close()
	mu.Unlock()
	_, _, err = d.TempFile(dump)
	require.ErrorIs(t, err, ErrEnded)
	left, err = os.ReadDir(d.Dir)
	require.NoError(t, err)
	require.Empty(t, left, "a picture that was given up leaves no file")
}

func TestReplace(t *testing.T) {
	data, fresh := storeWith(t, "SET old 1"), storeWith(t, "SET new 1")
	fresh.DB(3).SetString([]byte("k"), []byte("v"), false)
	var r recorder
	Replace(data, fresh, r.propagate)
	require.Equal(t, []string{"0 FLUSHALL", "0 SET new 1", "3 SET k v"}, r.got)
	require.Equal(t, 1, data.DB(0).Len())
	require.Equal(t, 1, data.DB(3).Len())
}
