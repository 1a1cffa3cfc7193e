package main

// The log of step 05, now from pkg/aof, which can also start from a snapshot: its first file, the
// base, is an RDB.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"byor/pkg/aof"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// openLog replays the log in s.dir and opens it for appending.
func (s *server) openLog(policy string) (err error) {
	o := aof.Options{Dir: s.dir, Logf: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	if o.Policy, err = aof.ParsePolicy(policy); err != nil {
		return err
	}
	s.data.Expiry = store.KeepExpired // the log says DEL when it is time
	defer func() { s.data.Expiry = store.DeleteExpired }()
	c := &client{srv: s, db: s.data.DB(0), w: resp.NewWriter(nil)}
	_, err = aof.Load(o, aof.Handlers{
		LoadBase: func(r *bufio.Reader, _ int64) error { return s.readRDB(r) },
		Apply: func(args [][]byte) error {
			c.w.Buf = c.w.Buf[:0]
			if c.execute(args); c.w.Buf[0] == '-' {
				return errors.New(string(c.w.Buf[1 : len(c.w.Buf)-2]))
			}
			return nil
		},
	})
	if err == nil {
		s.logDB = -1
		s.log, err = aof.Open(o, func(w io.Writer) error {
			d := s.beginDump()
			defer d.close(noLock{})
			return d.write(w, noLock{})
		})
	}
	return err
}

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

// reply sends the replies gathered so far, once the log has all that they promise.
func (c *client) reply() error {
	if log := c.srv.log; log != nil && c.w.Len() > 0 {
		if err := log.Commit(log.End()); err != nil {
			fmt.Fprintln(os.Stderr, "06-rdb: the log cannot be written, so nothing can be promised:", err)
			os.Exit(1)
		}
	}
	return c.w.Flush()
}
