package main

// The replica's end of step 08, over pkg/repl. After a broken link it can go on where it was: a partial
// resync. The master's end is in pkg/basics.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"byor/pkg/basics"
	"byor/pkg/repl"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// publish answers PUBLISH. The log does not get a message, but the replicas do: they have subscribers.
func publish(c *client, args [][]byte) ([][]byte, error) {
	c.W.Int(int64(c.srv.hub.Publish(args[1], args[2])))
	c.srv.repl.Feed(resp.AppendCommand(nil, args...))
	return nil, nil
}

// expiry says what happens to a key whose time is over, as in step 08. A replica hides it until the
// master says DEL.
func (c *client) expiry() store.ExpiryMode {
	switch {
	case c.isMaster:
		return store.KeepExpired
	case c.srv.master != "":
		return store.HideExpired
	}
	return store.DeleteExpired
}

// errStopping ends the link to the master when the server stops.
var errStopping = errors.New("the server is shutting down")

// follow follows our master until ctx is done.
func (s *server) follow(ctx context.Context, port string) {
	c := s.newClient(nil)
	listenPort, _ := strconv.Atoi(port)
	repl.Follow(ctx, repl.FollowOptions{
		Addr:       s.master,
		ListenPort: listenPort,
		Logf:       func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
		Load: func(r io.Reader, _ int64, _ string, _ int64) error {
			fresh, err := basics.LoadBeside(r, s.data)
			if err != nil {
				return err
			}
			c.DB = s.data.DB(0)
			return s.replaceData(fresh)
		},
		Apply: func(u repl.Unit) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, args := range u.Commands {
				if c.Apply(c.run, args); c.Closing {
					return errStopping // else the master would count it as applied
				}
			}
			return nil
		},
	})
}

// replaceData makes a snapshot our data. Our own log and our own replicas get it, too.
func (s *server) replaceData(fresh *store.Store) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return errStopping
	}
	basics.Replace(s.data, fresh, s.repl.Propagate)
	return nil
}
