package repl_test

import (
	"context"
	"errors"
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

// A history by itself: two names for one stream, and who may go on from where.
func ExampleHistory() {
	h := repl.NewHistory()
	h.Keep(1 << 20) // the backlog, without which nothing is counted
	h.Append([]byte("0123456789"))
	old := h.ID()
	h.Promote() // this server was a replica, and has become the master
	h.Append([]byte("abc"))

	fmt.Println("bytes:", h.Offset())
	fmt.Println("by the old name, up to there:", h.CanContinue(old, 8), h.CanContinue(old, 12))
	fmt.Println("by the new name:", h.CanContinue(h.ID(), 12), h.CanContinue(h.ID(), 15))
	fmt.Printf("from the 9th byte on: %s\n", h.AppendFrom(nil, 9))
	// Output:
	// bytes: 13
	// by the old name, up to there: true false
	// by the new name: true false
	// from the 9th byte on: 89abc
}

// position is what a follower keeps: its data, and of which history they are, up to where.
type position struct {
	n      int
	id     string
	offset int64
}

// follow goes on from there until n is what it should be.
func (p *position) follow(server *number, until int) {
	ctx, stop := context.WithCancel(context.Background())
	var f *repl.Follower
	dials := 0
	f = repl.NewFollower(repl.FollowOptions{
		ReplID: p.id,
		Offset: p.offset,
		Dial: func(context.Context) (net.Conn, error) {
			if dials++; dials == 1 {
				return nil, errors.New("no route to host")
			}
			fmt.Println("again after:", f.Status().Err)
			ours, theirs := net.Pipe()
			go server.serve(theirs)
			return ours, nil
		},
		Load: func(r io.Reader, size int64, id string, offset int64) error {
			p.id, p.offset = id, offset
			_, err := fmt.Fscan(r, &p.n)
			fmt.Println("everything:", p.n)
			go server.incr()
			return err
		},
		Continue: func(id string) error {
			fmt.Println("the same history:", id == p.id, f.Status().ReplID == p.id)
			return nil
		},
		Apply: func(u repl.Unit) error {
			p.offset = u.Offset // kept with the data, so that the two agree
			if u.Name == "incr" {
				p.n++
			}
			if p.n == until {
				stop()
			}
			return nil
		},
	})
	_ = f.Run(ctx)
}

// A follower that was stopped goes on where it was. What was changed meanwhile comes from the master's backlog.
func ExampleFollower() {
	server := &number{n: 40, master: repl.NewMaster(repl.MasterOptions{})}
	var p position
	p.follow(server, 41)
	fmt.Println("followed:", p.n)
	server.incr()
	server.incr()
	p.follow(server, 43)
	fmt.Println("followed:", p.n)
	server.master.EndAll()
	// Output:
	// again after: no route to host
	// everything: 40
	// followed: 41
	// again after: no route to host
	// the same history: true true
	// followed: 43
}

// A replica that does not keep up, or is not heard of, is ended. Nobody waits for it.
func ExampleReplica() {
	master := repl.NewMaster(repl.MasterOptions{Backlog: 100, MaxBehind: 1000})
	ours, theirs := net.Pipe() // from which nobody reads
	defer theirs.Close()
	replica := master.NewReplica(ours)
	master.PSync(replica, "?", -1)
	ended := make(chan error)
	go func() {
		ended <- replica.Run(func(w io.Writer) error { _, err := io.WriteString(w, "snapshot"); return err })
	}()
	for range 100 {
		master.Feed(resp.AppendCommandStrings(nil, "INCR", "n"))
	}
	switch err := <-ended; {
	case errors.Is(err, repl.ErrBehind):
		fmt.Println("too slow")
	case errors.Is(err, repl.ErrTimeout):
		fmt.Println("silent")
	default:
		fmt.Println("gone:", err)
	}
	// Output: too slow
}
