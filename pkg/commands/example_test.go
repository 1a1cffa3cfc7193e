package commands_test

import (
	"fmt"
	"strings"

	_ "byor/pkg/commands"
	"byor/pkg/engine"
)

// Whoever imports the package has the commands, also where there is no server.
func Example() {
	e := engine.New(16, engine.Table(), nil, nil)
	var c engine.Session
	e.Init(&c, nil)
	c.Authed = true
	e.Lock()
	defer e.Unlock()
	for _, line := range []string{"ZADD heights 4810 Montblanc 2962 Zugspitze", "ZRANGE heights 0 -1", "TYPE heights", "GET heights"} {
		var words [][]byte
		for _, w := range strings.Fields(line) {
			words = append(words, []byte(w))
		}
		e.Execute(&c, words)
	}
	fmt.Printf("%s", strings.ReplaceAll(string(c.Reply.Buf), "\r", ""))
	// Output:
	// :2
	// *2
	// $9
	// Zugspitze
	// $9
	// Montblanc
	// +zset
	// -WRONGTYPE Operation against a key holding the wrong kind of value
}
