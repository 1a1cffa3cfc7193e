package aof_test

import (
	"fmt"
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
