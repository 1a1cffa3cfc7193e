package aof_test

import (
	"errors"
	"fmt"
	"io"
	"os"

	"byor/pkg/aof"
	"byor/pkg/resp"
)

// A server loads its log at start, opens it, and from then on appends each change
// under its lock and commits it before it replies.
func Example() {
	dir, _ := os.MkdirTemp("", "aof")
	defer os.RemoveAll(dir)
	opts := aof.Options{Dir: dir, Policy: aof.Always, PlainBase: true}

	for range 2 { // two lives of a server
		changes := 0
		_, err := aof.Load(opts, aof.Handlers{Apply: func(args [][]byte) error {
			changes++ // execute the command here
			return nil
		}})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("changes loaded:", changes)
		log, err := aof.Open(opts, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		log.Append(resp.AppendCommandStrings(nil, "SELECT", "0"))
		end := log.Append(resp.AppendCommandStrings(nil, "INCR", "visits"))
		if err := log.Commit(end); err != nil { // now it is on the disk
			fmt.Println(err)
		}
		log.Close()
	}
	// Output:
	// changes loaded: 0
	// changes loaded: 2
}

// A rewrite puts a short base in place of a long history. One that fails, or is given up, changes nothing that counts.
func ExampleLog_BeginRewrite() {
	dir, _ := os.MkdirTemp("", "aof")
	defer os.RemoveAll(dir)
	log, err := aof.Open(aof.Options{Dir: dir, Policy: aof.No, PlainBase: true}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 1000 {
		log.Append(resp.AppendCommandStrings(nil, "INCR", "visits"))
	}
	_ = log.Flush()
	report := func() {
		s := log.Status()
		fmt.Println(s.Size, "bytes; rewrites:", s.Rewrites, "failed in a row:", s.RewriteFailures, "the last one was well:", s.LastRewriteOK)
	}
	base := func(w io.Writer) error {
		_, err := w.Write(resp.AppendCommandStrings(nil, "SET", "visits", "1000"))
		return err
	}
	report()

	rewrite, _ := log.BeginRewrite() // under the lock of the engine, when the snapshot is taken
	_, err = log.BeginRewrite()
	fmt.Println("one at a time:", log.Status().Rewriting, errors.Is(err, aof.ErrRewriting))
	_ = rewrite.Run(func(io.Writer) error { return errors.New("the snapshot failed") }) // without the lock
	report()

	rewrite, _ = log.BeginRewrite()
	rewrite.Abort() // as a server does whose log is switched off
	err = rewrite.Run(base)
	fmt.Println("given up:", errors.Is(err, aof.ErrAborted))

	rewrite, _ = log.BeginRewrite()
	_ = rewrite.Run(base)
	report()

	log.Close()
	_, err = log.BeginRewrite()
	fmt.Println("closed:", errors.Is(err, aof.ErrClosed))
	// Output:
	// 26000 bytes; rewrites: 0 failed in a row: 0 the last one was well: true
	// one at a time: true true
	// 26000 bytes; rewrites: 1 failed in a row: 1 the last one was well: false
	// given up: true
	// 35 bytes; rewrites: 3 failed in a row: 0 the last one was well: true
	// closed: true
}
