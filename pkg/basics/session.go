package basics

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"byor/pkg/pubsub"
	"byor/pkg/rdb"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// What steps 07 to 09 do around a command and around a snapshot, in pieces.

// NewClient returns the client at conn, which may subscribe to hub. Without a conn it is the one whose
// commands stand in a log or come from a master: nobody gets the replies, and it cannot subscribe.
func NewClient(d *Disk, hub *pubsub.Hub, conn net.Conn) Client {
	c := Client{DB: d.Data.DB(0), W: resp.NewWriter(conn), Disk: d, Conn: conn}
	if conn != nil {
		c.Sub = newSubscriber(hub, conn, d.Commit)
	}
	return c
}

// Begin takes the server's lock for one command.
func (c *Client) Begin() { c.Disk.Mu.Lock() }

// End releases it. What a subscriber is answered goes into its queue before that, so that replies and
// messages keep the order in which things happened: who publishes next must not overtake the "you are
// subscribed".
func (c *Client) End() {
	if c.Sub.Active() {
		c.Sub.Reply(c.W)
	}
	c.Disk.Mu.Unlock()
}

// Call runs the command for c at this moment, and hands its effect to propagate. An error becomes the
// reply. The caller holds the lock.
func (c Command[C]) Call(client C, args [][]byte, propagate func(db int, effect [][]byte)) {
	k := client.known()
	k.DB.Store().SetNow(time.Now().UnixMilli())
	effect, err := c.Run(client, args)
	if err != nil {
		k.W.Error(err.Error())
	}
	if effect != nil {
		propagate(k.DB.ID(), effect)
	}
}

// Apply executes a command of the master. Nobody gets the reply; but an error in it means that the two
// servers differ from now on, and somebody should know.
func (c *Client) Apply(execute func(args [][]byte), args [][]byte) {
	c.W.Buf = c.W.Buf[:0]
	if execute(args); c.W.Len() > 0 && c.W.Buf[0] == '-' {
		fmt.Fprintf(os.Stderr, "CRITICAL: the master's %q cannot be applied, from now on the data differ: %s", args, c.W.Buf)
	}
}

// Dial connects to the master at addr. With -trace, every byte that passes through is printed.
func (o *Options) Dial(addr string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil || !o.Trace {
		return conn, err
	}
	return resp.Trace(conn, os.Stdout, "master"), nil
}

// Every calls f, again and again with a pause after each call, until ctx is done.
func Every(ctx context.Context, pause time.Duration, f func()) {
	for ctx.Err() == nil {
		f()
		time.Sleep(pause)
	}
}

// WhenFree waits until no snapshot is under way: there can be one at a time. The caller holds the lock,
// which is free meanwhile, and patience is called without it ten times a second; an error of it ends
// the waiting.
func (d *Disk) WhenFree(patience func() error) error {
	for d.Dump != nil {
		d.Mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		err := patience()
		d.Mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// TempFile writes dump to a temporary file and ends it. A replica wants to know the length before the first byte.
// It returns the file, to be read from its beginning; Close removes it. The caller does not hold the lock.
func (d *Disk) TempFile(dump *Dump) (file io.ReadCloser, size int64, err error) {
	defer d.End(dump)
	f, err := os.CreateTemp(d.Dir, "temp-repl-*.rdb")
	if err != nil {
		return nil, 0, err
	}
	if err = dump.Write(f, d.Mu); err == nil {
		size, err = f.Seek(0, io.SeekCurrent) // where writing stopped is the length
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		tempFile{f}.Close()
		return nil, 0, err
	}
	return tempFile{f}, size, nil
}

type tempFile struct{ *os.File }

func (f tempFile) Close() error {
	f.File.Close()
	return os.Remove(f.Name())
}

// LoadBeside loads the snapshot of a master into a store of its own, as large as data. Keys whose time
// is over are in it: the master will say DEL.
func LoadBeside(r io.Reader, data *store.Store) (fresh *store.Store, err error) {
	fresh = store.New(data.Len())
	fresh.Expiry = store.KeepExpired
	return fresh, LoadRDB(rdb.NewReader(r), fresh)
}

// Replace makes fresh the contents of data. To those whom propagate tells it is a change like any
// other, if a large one: everything goes, and this comes. The caller holds the lock.
func Replace(data, fresh *store.Store, propagate func(db int, effect [][]byte)) {
	data.Adopt(fresh)
	propagate(0, [][]byte{[]byte("FLUSHALL")})
	for db, effect := range Effects(data) {
		propagate(db, effect)
	}
}
