package main

// What step 08 was about, now from pkg/repl, which can go on after a broken link where it was (a partial
// resync). The master's end is in pkg/basics.

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

// publish answers PUBLISH. Messages are no data, so they are not in the log; but they travel to the
// replicas, whose subscribers get them too.
func publish(c *client, args [][]byte) ([][]byte, error) {
	c.W.Int(int64(c.srv.hub.Publish(args[1], args[2])))
	c.srv.repl.Feed(resp.AppendCommand(nil, args...))
	return nil, nil
}

// expiry says what happens to a key whose time is over, as in step 08: a replica hides it until the
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

// errStopping is what ends the link to the master when we end.
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
					return errStopping // so that we do not say that we have it
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
	basics.Replace(s.data, fresh, s.repl.Propagate)
	return nil
}
