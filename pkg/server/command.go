package server

import (
	"bytes"
	"slices"
)

// How a command is added: each cmd_<group>.go opens with a slice of Commands, which init adds to
// the table with register. Whatever can be decided from facts (arity, authentication, read-only
// replicas, memory, what may be queued in MULTI or sent while subscribed) is decided in exec.go from
// the table, never in a handler.
//
// A handler runs under the engine's lock, alone in the world. It
//   - reads c.args (args[0] is the name; the slices are valid only during the call: copy to keep);
//   - reads with read[*store.Hash](c, key), which replies WRONGTYPE itself, and writes with
//     edit[*store.Hash](c, key), which lets a snapshot under way have the old value first;
//   - appends exactly one reply to c.w, errors through c.fail("ERR …");
//   - tells of each key it changed with c.changed(e), or c.touched(key) when it was deleted or
//     replaced: this is what WATCH, blocked clients, save points and the memory accounting go by. A
//     collection that became empty is deleted with c.removeIfEmpty;
//   - says what the change is to replicas and the append-only file, if it is not the command as it
//     came: c.replicate(args…) once or several times instead, or c.replicateNothing(). A handler
//     that touched nothing replicates nothing.
//
// It never writes to a socket, a file or a replica.

// Flag is a set of facts about a command, named as in Redis's COMMAND reply.
type Flag uint32

// The flags.
const (
	Write Flag = 1 << iota
	ReadOnly
	DenyOOM
	Admin
	PubSub
	NoScript
	Blocking
	Loading
	Stale
	SkipMonitor
	SkipSlowlog
	Asking
	Fast
	NoAuth
	MayReplicate // reaches replicas without being a write; COMMAND does not show it
	NoMulti
	MovableKeys
	AllowBusy
	NoAsyncLoading
	NoMandatoryKeys
	Protected // refused unless the configuration allows it; COMMAND does not show it
)

var flagNames = []struct {
	f    Flag
	name string
}{
	{Write, "write"}, {ReadOnly, "readonly"}, {DenyOOM, "denyoom"}, {Admin, "admin"},
	{PubSub, "pubsub"}, {NoScript, "noscript"}, {Blocking, "blocking"}, {Loading, "loading"},
	{Stale, "stale"}, {SkipMonitor, "skip_monitor"}, {SkipSlowlog, "skip_slowlog"},
	{Asking, "asking"}, {Fast, "fast"}, {NoAuth, "no_auth"},
	{NoMandatoryKeys, "no_mandatory_keys"}, {NoAsyncLoading, "no_async_loading"},
	{NoMulti, "no_multi"}, {MovableKeys, "movablekeys"}, {AllowBusy, "allow_busy"},
}

// Keys says where a command's keys stand among its arguments: from First to Last (negative:
// counted from the end) every Step. The zero value means none.
type Keys struct{ First, Last, Step int }

// Command is one entry of the command table.
type Command struct {
	Name    string // lower case; of a subcommand without its parent's
	Arity   int    // arguments with the name; negative: at least that many
	Flags   Flag
	Keys    Keys
	KeysOf  func(args [][]byte) []int // positions of keys that Keys cannot express
	Group   string                    // string, list, …: for ACL categories and COMMAND DOCS
	Sub     []*Command                // of a container such as CONFIG
	Handler func(c *Client)

	full   string // "config|get"
	simple bool   // neither a container nor a subcommand
	stats  commandStats
}

// commandStats is what INFO commandstats and latencystats show. Guarded by the engine's lock.
type commandStats struct {
	calls, rejected, failed int64
	ns                      int64
	hist                    *latencyHist
}

// FullName returns the name as Redis writes it in errors and INFO: "get", "config|get".
func (cmd *Command) FullName() string { return cmd.full }

// commandTable is the table, by lower-case name. It is filled by init functions and read-only after:
// a server has a copy of its own, since it counts in it.
var commandTable = map[string]*Command{}

// register adds a group's commands to the table.
func register(group string, cmds []Command) {
	for i := range cmds {
		cmd := &cmds[i]
		if cmd.Group == "" {
			cmd.Group = group
		}
		cmd.full = cmd.Name
		cmd.simple = cmd.Sub == nil
		for _, sub := range cmd.Sub {
			sub.full = cmd.Name + "|" + sub.Name
			if sub.Group == "" {
				sub.Group = cmd.Group
			}
		}
		if commandTable[cmd.Name] != nil {
			panic("server: command registered twice: " + cmd.Name)
		}
		commandTable[cmd.Name] = cmd
	}
}

// copyTable returns the table with statistics that are all zero.
func copyTable() map[string]*Command {
	table := make(map[string]*Command, len(commandTable))
	for name, cmd := range commandTable {
		own := *cmd
		own.Sub = slices.Clone(cmd.Sub)
		for i, sub := range cmd.Sub {
			ownSub := *sub
			own.Sub[i] = &ownSub
		}
		table[name] = &own
	}
	return table
}

const maxNameLen = 32

// lookupCommand finds the command of args, or of a container the subcommand.
func (s *Server) lookupCommand(args [][]byte) *Command { return lookupIn(s.commands, args) }

func lookupIn(table map[string]*Command, args [][]byte) *Command {
	cmd := findCommand(table, args[0])
	if cmd == nil || cmd.Sub == nil {
		return cmd
	}
	if len(args) == 1 {
		return cmd
	}
	for _, sub := range cmd.Sub {
		if equalFold(args[1], sub.Name) {
			return sub
		}
	}
	return nil
}

func findCommand(table map[string]*Command, name []byte) *Command {
	if len(name) > maxNameLen {
		return nil
	}
	var lower [maxNameLen]byte
	for i, ch := range name {
		if ch >= 'A' && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		lower[i] = ch
	}
	return table[string(lower[:len(name)])]
}

// equalFold reports whether b is the ASCII word lower, which is in lower case, in any case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, ch := range b {
		if ch >= 'A' && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		if ch != lower[i] {
			return false
		}
	}
	return true
}

// takes reports whether the command may be given so many arguments, its name among them.
func (cmd *Command) takes(n int) bool {
	return cmd.Handler != nil && (cmd.Arity < 0 || n == cmd.Arity) && n >= -cmd.Arity
}

// keyPositions returns the indexes of the keys in args, which must satisfy the arity.
func (cmd *Command) keyPositions(args [][]byte) []int {
	if cmd.KeysOf != nil {
		return cmd.KeysOf(args)
	}
	k := cmd.Keys
	if k.First == 0 {
		return nil
	}
	last := k.Last
	if last < 0 {
		last += len(args)
	}
	var pos []int
	for i := k.First; i <= last && i < len(args); i += k.Step {
		pos = append(pos, i)
	}
	return pos
}

// numKeys returns a KeysOf for commands that count their keys: "… numkeys key [key …]" with the
// number at index at.
func numKeys(at int) func(args [][]byte) []int {
	return func(args [][]byte) []int {
		if at >= len(args) {
			return nil
		}
		n, ok := parseInt(args[at])
		if !ok || n < 1 || n > int64(len(args)-at-1) {
			return nil
		}
		pos := make([]int, n)
		for i := range pos {
			pos[i] = at + 1 + i
		}
		return pos
	}
}

// destAndNumKeys is numKeys for "dest numkeys key …": the destination at index 1 is a key too.
func destAndNumKeys(args [][]byte) []int {
	from := numKeys(2)(args)
	if from == nil {
		return nil
	}
	return append([]int{1}, from...)
}

// streamKeys finds the keys behind STREAMS in XREAD and XREADGROUP. A group may have that name, too.
func streamKeys(args [][]byte) []int {
	from := 1
	if equalFold(args[0], "xreadgroup") {
		from = 4
	}
	for i := from; i < len(args); i++ {
		if bytes.EqualFold(args[i], []byte("streams")) {
			n := (len(args) - i - 1) / 2
			pos := make([]int, n)
			for j := range pos {
				pos[j] = i + 1 + j
			}
			return pos
		}
	}
	return nil
}

// flagList returns the flags in Redis's words.
func (cmd *Command) flagList() []string {
	var names []string
	for _, f := range flagNames {
		if cmd.Flags&f.f != 0 {
			names = append(names, f.name)
		}
	}
	return names
}
