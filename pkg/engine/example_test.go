package engine_test

import (
	"fmt"

	"byor/pkg/engine"
	"byor/pkg/store"
)

// An engine with a command of its own, a session without a connection, and a listener that sees what a log or a
// replica would be sent.
func Example() {
	table := engine.Table()
	engine.Add(table, "string", []engine.Command{
		{Name: "shout", Arity: 3, Flags: engine.Write, Keys: engine.At(1, 1, 1), Handler: func(c *engine.Call) {
			c.Set(c.Args[1], store.NewString(append(c.Args[2], '!')))
			c.Reply.OK()
		}},
	})
	e := engine.New(16, table, nil, nil)
	e.Listen(&engine.Listener{To: engine.ToAOF, Selected: -1, Wants: func() bool { return true }, Take: func(b []byte) {
		fmt.Printf("effect %q\n", b)
	}})
	var c engine.Session
	e.Init(&c, nil)
	c.Authed = true

	e.Lock()
	defer e.Unlock()
	for _, words := range [][][]byte{
		{[]byte("shout"), []byte("k"), []byte("hey")},
		{[]byte("shout"), []byte("k")},
	} {
		e.Execute(&c, words)
		fmt.Printf("reply  %q\n", c.Reply.Buf)
		c.Reply.Buf = c.Reply.Buf[:0]
	}
	// Output:
	// effect "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$5\r\nshout\r\n$1\r\nk\r\n$3\r\nhey\r\n"
	// reply  "+OK\r\n"
	// reply  "-ERR wrong number of arguments for 'shout' command\r\n"
}
