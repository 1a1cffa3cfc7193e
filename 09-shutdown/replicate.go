package main

// What step 08 was about, now from pkg/repl: both ends of replication, which can go on after a broken
// link where they were (a partial resync).

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"byor/pkg/basics"
	"byor/pkg/rdb"
	"byor/pkg/repl"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// propagate hands a change on to the log and to the replicas. The caller holds s.mu.
func (s *server) propagate(db int, effect [][]byte) {
	var b []byte
	if db != s.streamDB {
		s.streamDB = db
		b = resp.AppendCommandStrings(b, "SELECT", strconv.Itoa(db))
	}
	b = resp.AppendCommand(b, effect...)
	if s.log != nil {
		s.log.Append(b)
	}
	s.repl.Feed(b)
}

func replconf(c *client, args [][]byte) ([][]byte, error) {
	answer, err := c.asReplica().Conf(args[1:])
	if err != nil {
		return nil, err
	}
	if answer {
		c.w.OK()
	}
	return nil, nil
}

func (c *client) asReplica() *repl.Replica {
	if c.replica == nil {
		c.replica = c.srv.repl.NewReplica(c.conn)
	}
	return c.replica
}

// errStopping is what ends the link to the master when we end.
var errStopping = errors.New("the server is shutting down")

func psync(c *client, args [][]byte) ([][]byte, error) {
	if c.w.Len() > 0 || c.sub.Active() {
		return nil, errors.New("ERR SYNC and PSYNC are invalid with pending output")
	}
	offset, ok := resp.ParseInt(args[2])
	if !ok {
		return nil, errNotInteger
	}
	c.synced = true
	rep, id := c.asReplica(), string(args[1])
	go func() {
		defer c.conn.Close()
		err := c.srv.serveReplica(rep, id, offset)
		fmt.Fprintf(os.Stderr, "replica %s is gone: %v\n", c.conn.RemoteAddr(), err)
	}()
	return nil, nil
}

// serveReplica answers PSYNC and sends the stream until the replica is gone.
func (s *server) serveReplica(rep *repl.Replica, id string, offset int64) error {
	s.mu.Lock()
	for s.dump != nil { // one picture at a time
		s.mu.Unlock()
		if err := rep.KeepAlive(); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
		s.mu.Lock()
	}
	finish := func() {}
	var d *basics.Dump
	if s.repl.PSync(rep, id, offset) {
		d = s.beginDump()
		s.streamDB = -1
		finish = sync.OnceFunc(func() { s.endDump(d) })
	}
	s.mu.Unlock()
	defer finish() // if the replica is gone before it has got the picture
	return rep.Run(func(w io.Writer) error {
		defer finish()
		return d.Write(w, &s.mu)
	})
}

// tick does once a second what time demands of a master: pings, and an end for those who are silent.
func (s *server) tick(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(time.Second)
		s.mu.Lock()
		s.repl.Tick(s.master == "")
		s.mu.Unlock()
	}
}

// follow follows our master until ctx is done.
func (s *server) follow(ctx context.Context, port string) {
	c := &client{srv: s, db: s.data.DB(0), w: resp.NewWriter(nil), isMaster: true}
	listenPort, _ := strconv.Atoi(port)
	repl.Follow(ctx, repl.FollowOptions{
		Addr:       s.master,
		ListenPort: listenPort,
		Logf:       func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
		Load: func(r io.Reader, _ int64, _ string, _ int64) error {
			fresh := store.New(s.data.Len())
			fresh.Expiry = store.KeepExpired
			if err := basics.LoadRDB(rdb.NewReader(r), fresh); err != nil {
				return err
			}
			c.db = s.data.DB(0)
			return s.replaceData(fresh)
		},
		Apply: func(u repl.Unit) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, args := range u.Commands {
				c.w.Buf = c.w.Buf[:0]
				if c.run(args); c.closing {
					return errStopping // so that we do not say that we have it
				}
				if c.w.Len() > 0 && c.w.Buf[0] == '-' {
					fmt.Fprintf(os.Stderr, "CRITICAL: the master's %q cannot be applied, from now on the data differ: %s", args, c.w.Buf)
				}
			}
			return nil
		},
	})
}

// replaceData makes a snapshot our data, and tells our own log and replicas.
func (s *server) replaceData(fresh *store.Store) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return errStopping
	}
	s.data.Adopt(fresh)
	s.propagate(0, [][]byte{[]byte("FLUSHALL")})
	for i := range s.data.Len() {
		db := s.data.DB(i)
		db.Each(func(e *store.Entry) bool {
			effect := [][]byte{[]byte("SET"), []byte(e.Key()), e.Value().(*store.String).View()}
			if e.HasExpiry() {
				effect = append(effect, []byte("PXAT"), strconv.AppendInt(nil, db.ExpireAt(e), 10))
			}
			s.propagate(i, effect)
			return true
		})
	}
	return nil
}
