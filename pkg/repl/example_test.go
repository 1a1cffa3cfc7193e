package repl_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"byor/pkg/repl"
	"byor/pkg/resp"
)

// number is a server whose data are one number. All that replication asks of it: changes are fed to the master
// under the lock under which they are made, and so is the decision about PSYNC.
type number struct {
	mu     sync.Mutex
	n      int
	master *repl.Master
}

func (s *number) incr() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.master.Feed(resp.AppendCommandStrings(nil, "INCR", "n"))
}

// serve serves one replica.
func (s *number) serve(conn net.Conn) {
	replica := s.master.NewReplica(conn)
	defer replica.End()
	for in := resp.NewCommandReader(conn); ; {
		args, err := in.ReadCommand()
		if err != nil {
			return
		}
		switch strings.ToUpper(string(args[0])) {
		case "PING":
			_, _ = io.WriteString(conn, "+PONG\r\n")
		case "REPLCONF":
			if reply, _ := replica.Conf(args[1:]); reply {
				_, _ = io.WriteString(conn, "+OK\r\n")
			}
		case "PSYNC":
			offset, _ := strconv.ParseInt(string(args[2]), 10, 64)
			s.mu.Lock()
			snapshot := strconv.Itoa(s.n)
			if s.master.PSync(replica, string(args[1]), offset) {
				s.master.Feed(resp.AppendCommandStrings(nil, "SELECT", "0"))
			}
			s.mu.Unlock()
			go replica.Run(func(w io.Writer) error { _, err := io.WriteString(w, snapshot); return err })
		}
	}
}

// Both ends in one process. The snapshot is whatever the two agree on; between two Redis servers it is an RDB file.
func Example() {
	server := &number{n: 40, master: repl.NewMaster(repl.MasterOptions{})}
	loaded, applied := make(chan bool), make(chan bool)
	n := 0 // the follower's copy
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- repl.Follow(ctx, repl.FollowOptions{
			Dial: func(context.Context) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go server.serve(theirs)
				return ours, nil
			},
			Load: func(r io.Reader, size int64, id string, offset int64) error {
				text, err := io.ReadAll(r)
				if err != nil {
					return err
				}
				n, err = strconv.Atoi(string(text))
				loaded <- true
				return err
			},
			Apply: func(u repl.Unit) error {
				for _, args := range u.Commands {
					if string(args[0]) == "INCR" {
						n++
						applied <- true
					}
				}
				return nil
			},
		})
	}()
	<-loaded
	fmt.Println("loaded:", n)
	server.incr()
	server.incr()
	<-applied
	<-applied
	fmt.Println("followed:", n)
	cancel()
	fmt.Println(<-done)
	server.master.EndAll()
	// Output:
	// loaded: 40
	// followed: 42
	// context canceled
}
