package basics_test

import (
	"bytes"
	"fmt"
	"strings"

	"byor/pkg/basics"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// A step's table: one command of its own, and those that are known. An effect is what a log or a replica gets.
func ExampleExtend() {
	double := func(c *basics.Client, args [][]byte) ([][]byte, error) {
		value := append(args[2], args[2]...)
		c.DB.Set(args[1], store.NewString(value))
		c.W.Int(int64(len(value)))
		return [][]byte{[]byte("set"), args[1], value}, nil
	}
	table := basics.Extend(basics.Table[*basics.Client]{"double": {Arity: 3, Run: double}}, basics.OnData)
	var out bytes.Buffer
	c := &basics.Client{DB: store.New(16).DB(0), W: resp.NewWriter(&out)}
	for _, line := range []string{"double k ab", "get k", "get", "incr k"} {
		table.Run(c, bytes.Fields([]byte(line)), func(db int, effect [][]byte) {
			fmt.Printf("effect in database %d: %s\n", db, effect)
		})
	}
	_ = c.W.Flush()
	fmt.Print(strings.ReplaceAll(out.String(), "\r", ""))
	// Output:
	// effect in database 0: [set k abab]
	// :4
	// $4
	// abab
	// -ERR wrong number of arguments for 'get' command
	// -ERR value is not an integer or out of range
}
