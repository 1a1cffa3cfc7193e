package server

import (
	"strings"

	"byor/pkg/engine"
)

// What drills are made with: a server that crashes on demand, to see whether a replica takes over and what is left
// on the disk, and a command that only the replicas get, to see whether anybody notices that they differ.

// debugCrash ends the process at once, as a bug would: nothing is saved, nobody is told. It panics in a goroutine of
// its own, where nobody recovers, and holds the engine's lock until the end.
func debugCrash(c *client) {
	c.s.logf(levelWarning, "DEBUG %s: the server crashes now, as it was asked to.", engine.Upper(c.Args[1]))
	why := "DEBUG " + strings.ToUpper(string(c.Args[1]))
	go func() { panic(why) }()
	select {}
}

// debugReplicate sends a command to the replicas alone.
func debugReplicate(c *client) {
	c.s.eng.Effect(c.DB.ID(), engine.ToReplicas, c.Args[2:])
	c.Reply.OK()
}
