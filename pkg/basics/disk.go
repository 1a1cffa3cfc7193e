package basics

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"byor/pkg/resp"
	"byor/pkg/store"
)

// A Disk is what steps 05 and 06 were about: the log, where it is switched on, and the snapshots of a
// server's data.
type Disk struct {
	Dir  string
	Mu   sync.Locker // the server's lock; it protects the data and what follows here
	Data *store.Store

	Journal
	Dump     *Dump // a snapshot that is under way, or nil
	LastSave int64 // Unix seconds

	saves sync.WaitGroup // BGSAVEs under way
}

// NewDisk returns the disk of a server with the flags o, whose data mu protects.
func NewDisk(o *Options, mu sync.Locker, data *store.Store) *Disk {
	return &Disk{Dir: o.Dir, Mu: mu, Data: data, LastSave: time.Now().Unix()}
}

// Load brings the data back: from the log where o switches it on, else from the snapshot. w and
// execute are those of openLog.
func (d *Disk) Load(o *Options, w *resp.Writer, execute func(args [][]byte)) error {
	d.Data.SetNow(time.Now().UnixMilli())
	if !o.UseLog {
		return loadDump(d.Dir, d.Data)
	}
	return d.Open(o, d.Data, rdbBase(d.Data), w, execute)
}

// Begin begins a snapshot beside which the server goes on: one at a time. The caller holds the lock.
func (d *Disk) Begin() *Dump {
	d.Dump = beginDump(d.Data)
	return d.Dump
}

// End ends it. The caller does not hold the lock.
func (d *Disk) End(dump *Dump) {
	d.Mu.Lock()
	defer d.Mu.Unlock()
	dump.Close()
	if d.Dump == dump {
		d.Dump = nil
	}
}

// Wait waits until no BGSAVE is under way, and none may begin meanwhile.
func (d *Disk) Wait() { d.saves.Wait() }

// SaveNow writes the snapshot. The caller holds the lock, so nothing else happens meanwhile.
func (d *Disk) SaveNow() error {
	dump := beginDump(d.Data)
	defer dump.Close()
	return d.save(dump, NoLock{})
}

// save writes dump to its file and remembers when.
func (d *Disk) save(dump *Dump, mu sync.Locker) error {
	err := dump.Save(d.Dir, mu)
	mu.Lock()
	defer mu.Unlock()
	if err == nil {
		d.LastSave = time.Now().Unix()
	}
	return err
}

// OnDisk are the commands of step 06.
var OnDisk = Table[*Client]{"save": {1, "", save}, "bgsave": {1, "", bgsave}, "lastsave": {1, "", lastSave}}

// ErrSaving is the error for a SAVE or BGSAVE during another.
var ErrSaving = errors.New("ERR Background save already in progress")

func save(c *Client, _ [][]byte) ([][]byte, error) {
	if c.Disk.Dump != nil {
		return nil, ErrSaving
	}
	if err := c.Disk.SaveNow(); err != nil {
		return nil, fmt.Errorf("ERR %w", err)
	}
	c.W.OK()
	return nil, nil
}

func bgsave(c *Client, _ [][]byte) ([][]byte, error) {
	d := c.Disk
	if d.Dump != nil {
		return nil, ErrSaving
	}
	dump := d.Begin()
	d.saves.Go(func() {
		defer d.End(dump)
		if err := d.save(dump, d.Mu); err != nil {
			fmt.Fprintln(os.Stderr, "BGSAVE failed, the old dump.rdb is still there:", err)
		}
	})
	c.W.SimpleString("Background saving started")
	return nil, nil
}

func lastSave(c *Client, _ [][]byte) ([][]byte, error) {
	c.W.Int(c.Disk.LastSave)
	return nil, nil
}
