package basics

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"byor/pkg/repl"
	"byor/pkg/resp"
)

// Replicas is the master's end of step 08, over pkg/repl: it hands changes on to the log and to those
// who follow us, and sends each of them a snapshot first, or what it missed. The server's lock, which is
// the disk's, protects it.
type Replicas struct {
	*repl.Master
	disk     *Disk
	selected int // the database that log and stream have selected at their end, -1 for none
}

// NewReplicas returns the replicas, none as yet, of the server whose data d holds.
func NewReplicas(d *Disk) *Replicas {
	return &Replicas{Master: repl.NewMaster(repl.MasterOptions{TempDir: d.Dir}), disk: d, selected: -1}
}

// Propagate hands a change on to the log and to the replicas. The caller holds the lock.
func (r *Replicas) Propagate(db int, effect [][]byte) {
	b := Encode(&r.selected, db, effect)
	r.disk.Append(b)
	r.Feed(b)
}

// Reselect says that nobody knows which database log and stream have selected at their end, as when a log
// has been loaded: it may end with a SELECT whose command a crash has torn off. The next change brings
// its SELECT along. The caller holds the lock.
func (r *Replicas) Reselect() { r.selected = -1 }

// Tick does once a second what time demands of a master until ctx is done: an end for those who are
// silent, and pings, unless pings is false, since a replica's replicas get those of the first master.
func (r *Replicas) Tick(ctx context.Context, pings bool) {
	for ctx.Err() == nil {
		time.Sleep(time.Second)
		r.disk.Mu.Lock()
		r.Master.Tick(pings)
		r.disk.Mu.Unlock()
	}
}

// OnReplicas are the commands with which a replica comes, flag r: allowed to a replica.
var OnReplicas = Table[*Client]{"replconf": {-1, "r", replconf}, "psync": {3, "", psync}}

func replconf(c *Client, args [][]byte) ([][]byte, error) {
	answer, err := c.asReplica().Conf(args[1:])
	if answer && err == nil {
		c.W.OK()
	}
	return nil, err
}

func (c *Client) asReplica() *repl.Replica {
	if c.Replica == nil {
		c.Replica = c.Replicas.NewReplica(c.Conn)
	}
	return c.Replica
}

func psync(c *Client, args [][]byte) ([][]byte, error) {
	if c.W.Len() > 0 || c.Sub.Active() {
		return nil, ErrPendingOutput
	}
	offset, ok := resp.ParseInt(args[2])
	if !ok {
		return nil, ErrNotInteger
	}
	c.Synced = true
	rep, id := c.asReplica(), string(args[1])
	go func() {
		defer c.Conn.Close()
		err := c.Replicas.serve(rep, id, offset)
		fmt.Fprintf(os.Stderr, "replica %s is gone: %v\n", c.Conn.RemoteAddr(), err)
	}()
	return nil, nil
}

// serve answers PSYNC and sends the stream until the replica is gone.
func (r *Replicas) serve(rep *repl.Replica, id string, offset int64) error {
	d := r.disk
	d.Mu.Lock()
	if err := d.WhenFree(rep.KeepAlive); err != nil {
		d.Mu.Unlock()
		return err
	}
	finish := func() {}
	var dump *Dump
	if r.PSync(rep, id, offset) {
		dump = d.Begin()
		r.selected = -1 // a new listener does not know which database we mean
		finish = sync.OnceFunc(func() { d.End(dump) })
	}
	d.Mu.Unlock()
	defer finish() // if the replica is gone before it has got the picture
	return rep.Run(func(w io.Writer) error {
		defer finish()
		return dump.Write(w, d.Mu)
	})
}
