// Package repl is the replication of Redis 7: one server sends what changes its data, others follow.
//
// A stream of bytes, which are the commands that change the data, is all there is to it. A history
// is a name (the replication ID, 40 hex digits) and a stream; an offset counts its bytes; so "ID and
// offset" says exactly what somebody has. Who says it (PSYNC) gets the bytes after it if they are
// still remembered (a partial resync), and else a snapshot of the data and the bytes after that.
//
// The package has both ends, and what they share:
//
//   - [History] names the stream, counts it, and remembers its last bytes (the backlog).
//   - [Master] has a history and hands it to replicas: the answer to PSYNC, snapshots, bounded memory
//     for those who are slow, acknowledgements.
//   - [Follow] is the other end: handshake, snapshot, stream, acknowledgements, and all of it again
//     when the link breaks. It needs no server around it: a program may follow a Redis to keep an
//     index, or a cache, up to date.
//
// Snapshots and commands are opaque here: the functions that write, load and apply them are given by
// the caller, so the package knows neither the RDB format nor what a command means.
//
// A Master and a Follower are safe for concurrent use, and neither waits for the network in a call
// from the engine: a replica that is further behind than MaxBehind, or silent for Timeout, is ended.
// What a replica has acknowledged it has received, as in Redis; whether it is on its disk nobody says.
// Nothing is kept on disk here either: whoever wants to go on after a restart keeps ID and offset.
//
// The protocol is that of replication.c of Redis 7.0. Different on purpose: a replica that lost its
// link inside a transaction asks for it again from its MULTI on, and transactions are handed to the
// caller whole.
package repl

import (
	"crypto/rand"
	"encoding/hex"
)

// newID returns a new replication ID: 40 hex digits drawn at random.
func newID() string {
	b := make([]byte, 20)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// noID is how an ID that is not there is shown, as in Redis's INFO.
const noID = "0000000000000000000000000000000000000000"
