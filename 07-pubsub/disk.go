package main

// What steps 05 and 06 were about, the log and the snapshots, now from pkg/aof and pkg/rdb. What ties
// them to a store of strings is in pkg/basics.

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"byor/pkg/basics"
	"byor/pkg/resp"
)

// propagate hands a change on to the log. The caller holds s.mu.
func (s *server) propagate(db int, effect [][]byte) {
	if s.log == nil {
		return
	}
	var b []byte
	if db != s.logDB {
		s.logDB = db
		b = resp.AppendCommandStrings(b, "SELECT", strconv.Itoa(db))
	}
	s.log.Append(resp.AppendCommand(b, effect...))
}

// commit waits until the log has all that was executed so far, as its policy demands.
func (s *server) commit() {
	if s.log == nil {
		return
	}
	if err := s.log.Commit(s.log.End()); err != nil {
		fmt.Fprintln(os.Stderr, "the log cannot be written, so nothing can be promised:", err)
		os.Exit(1)
	}
}

// load brings the data back: from the log where it is switched on, else from dump.rdb.
func (s *server) load(useLog bool, policy string) (err error) {
	s.data.SetNow(time.Now().UnixMilli())
	if !useLog {
		return basics.LoadDump(s.dir, s.data)
	}
	c := &client{srv: s, db: s.data.DB(0), w: resp.NewWriter(nil)}
	s.log, err = basics.OpenLog(s.dir, policy, s.data, c.w, c.execute)
	s.logDB = -1
	return err
}

var errSaving = errors.New("ERR Background save already in progress")

func save(c *client, _ [][]byte) ([][]byte, error) {
	if c.srv.dump != nil {
		return nil, errSaving
	}
	if err := c.srv.saveNow(); err != nil {
		return nil, fmt.Errorf("ERR %w", err)
	}
	c.w.OK()
	return nil, nil
}

// saveNow writes dump.rdb. The caller holds s.mu, so nothing else happens meanwhile.
func (s *server) saveNow() error {
	d := basics.BeginDump(s.data)
	defer d.Close()
	return s.save(d, basics.NoLock{})
}

func bgsave(c *client, _ [][]byte) ([][]byte, error) {
	s := c.srv
	if s.dump != nil {
		return nil, errSaving
	}
	d := s.beginDump()
	go func() {
		defer s.endDump(d)
		if err := s.save(d, &s.mu); err != nil {
			fmt.Fprintln(os.Stderr, "BGSAVE failed, the old dump.rdb is still there:", err)
		}
	}()
	c.w.SimpleString("Background saving started")
	return nil, nil
}

func lastSave(c *client, _ [][]byte) ([][]byte, error) {
	c.w.Int(c.srv.lastSave)
	return nil, nil
}

// beginDump begins a snapshot beside which the server goes on. The caller holds s.mu.
func (s *server) beginDump() *basics.Dump {
	s.dump = basics.BeginDump(s.data)
	return s.dump
}

// endDump ends it.
func (s *server) endDump(d *basics.Dump) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.Close()
	if s.dump == d {
		s.dump = nil
	}
}

// save writes d to dump.rdb and remembers when.
func (s *server) save(d *basics.Dump, mu sync.Locker) error {
	err := d.Save(s.dir, mu)
	mu.Lock()
	defer mu.Unlock()
	if err == nil {
		s.lastSave = time.Now().Unix()
	}
	return err
}
