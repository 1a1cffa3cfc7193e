// Package commands is the commands on data: strings, lists, hashes, sets, sorted sets, streams, positions, bits,
// HyperLogLogs, and what is common to all keys. It has nothing to import from: a file opens with the slice of its
// group's commands, which its init function enters into the engine's table (engine.Register), and whoever
// imports the package, for nothing else, has them all.
//
// Each file can be read alone by someone who has read the header of engine.Call. A handler is a function of a
// Call: it parses its arguments in Redis's order, since that decides which of two errors is told; it looks its
// keys up with engine.Read, Edit, Fetch or FetchEdit; it replies once; and it says what it has changed. Handlers
// know no socket, no file and no replica, and keep nothing between two calls. They run one at a time.
//
// Commands with many files: zset.go and its companions are the sorted sets (zset_range.go what is asked for by
// rank, score or name; zset_ops.go unions and intersections), stream.go and its companions the streams
// (stream_read.go XREAD, stream_group.go the groups, stream_pending.go and stream_claim.go what they have not
// acknowledged), geo.go stands on the sorted sets, bitmap.go, bitfield.go and hyperloglog.go on the strings.
package commands
