package engine

import (
	"slices"
	"strings"

	"byor/pkg/resp"
)

// The table of facts. Whatever can be decided from facts about a command (arity, authentication, read-only
// replicas, memory, what may be queued in MULTI or sent while subscribed) is decided in execute.go from the
// table, never in a handler. A group of commands enters it with Register.

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
	Protected   // refused unless the configuration allows it; COMMAND does not show it
	NeverPaused // runs during CLIENT PAUSE, or nobody could end that; COMMAND does not show it
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
	Elem    int                                  // where the first element stands that is looked up in the key's value; 0: nowhere
	KeysOf  func(args [][]byte) []int            // positions of keys that Keys cannot express
	FlagsOf func(c *Session, args [][]byte) Flag // of a command whose arguments say what it may do; nil: as Flags
	Event   string                               // what it does to keys, for keyspace events; "": as its name says, "-": nothing
	Group   string                               // string, list, …: for ACL categories and COMMAND DOCS
	Sub     []*Command                           // of a container such as CONFIG
	Handler func(c *Call)

	Stats CommandStats // guarded by the engine's lock

	full   string // "config|get"
	done   happening
	simple bool // neither a container nor a subcommand, and called by its own name
}

// CommandStats is what INFO commandstats and latencystats show.
type CommandStats struct {
	Calls, Rejected, Failed int64
	Ns                      int64 // that the calls took
	Hist                    *Histogram
}

// flags returns the flags of the command with these arguments.
func (cmd *Command) flags(c *Session, args [][]byte) Flag {
	if cmd.FlagsOf == nil {
		return cmd.Flags
	}
	return cmd.FlagsOf(c, args)
}

// FullName returns the name as Redis writes it in errors and INFO: "get", "config|get".
func (cmd *Command) FullName() string { return cmd.full }

// commandTable is the table, by lower-case name. It is filled by init functions and read-only after:
// an engine has a copy of its own, since it counts in it.
var commandTable = map[string]*Command{}

// Register adds a group's commands to the table of all engines that are made afterwards. It is for init
// functions. A name that is in the table already is a fault of the program, so it panics.
func Register(group string, cmds []Command) { Add(commandTable, group, cmds) }

// Add adds copies of a group's commands to a table. A name that is there already is a fault of the program, so it
// panics.
func Add(table map[string]*Command, group string, cmds []Command) {
	for _, cmd := range cmds {
		cmd := cmd.clone()
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
			sub.done = sub.does()
		}
		cmd.done = cmd.does()
		if table[cmd.Name] != nil {
			panic("engine: there are two commands of the name " + cmd.Name)
		}
		table[cmd.Name] = cmd
	}
}

// Table returns a copy of the table, with statistics that are all zero.
func Table() map[string]*Command {
	table := make(map[string]*Command, len(commandTable))
	for name, cmd := range commandTable {
		table[name] = cmd.clone()
	}
	return table
}

// clone returns a copy that counts for itself.
func (cmd Command) clone() *Command {
	cmd.Sub = slices.Clone(cmd.Sub)
	for i, sub := range cmd.Sub {
		own := *sub
		cmd.Sub[i] = &own
	}
	return &cmd
}

// Renamed returns a table with other names: names says which command has which.
func Renamed(table, names map[string]*Command) map[string]*Command {
	renamed := make(map[string]*Command, len(names))
	for name, cmd := range names {
		own := table[cmd.Name]
		own.simple = own.simple && name == cmd.Name // the short cut of commandOf goes by its own name
		renamed[name] = own
	}
	return renamed
}

// At says where keys stand, see Keys.
func At(first, last, step int) Keys { return Keys{first, last, step} }

// MaxNameLen is how long the name of a command may be.
const MaxNameLen = 32

// Lookup finds the command of args, or of a container the subcommand.
func (e *Engine) Lookup(args [][]byte) *Command { return LookupIn(e.Commands, args) }

// LookupIn is Lookup in any table.
func LookupIn(table map[string]*Command, args [][]byte) *Command {
	cmd := Find(table, args[0])
	if cmd == nil || cmd.Sub == nil {
		return cmd
	}
	if len(args) == 1 {
		return cmd
	}
	for _, sub := range cmd.Sub {
		if EqualFold(args[1], sub.Name) {
			return sub
		}
	}
	return nil
}

// Find finds a command by its name, in any case.
func Find(table map[string]*Command, name []byte) *Command {
	if len(name) > MaxNameLen {
		return nil
	}
	var lower [MaxNameLen]byte
	for i, ch := range name {
		if ch >= 'A' && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		lower[i] = ch
	}
	return table[string(lower[:len(name)])]
}

// EqualFold reports whether b is the ASCII word lower, which is in lower case, in any case.
func EqualFold(b []byte, lower string) bool {
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

// Takes reports whether the command may be given so many arguments, its name among them.
func (cmd *Command) Takes(n int) bool {
	return cmd.Handler != nil && (cmd.Arity < 0 || n == cmd.Arity) && n >= -cmd.Arity
}

// KeyPositions returns the indexes of the keys in args, which must satisfy the arity.
func (cmd *Command) KeyPositions(args [][]byte) []int {
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

// NumKeys returns a KeysOf for commands that count their keys: "… numkeys key [key …]" with the
// number at index at.
func NumKeys(at int) func(args [][]byte) []int {
	return func(args [][]byte) []int {
		if at >= len(args) {
			return nil
		}
		n, ok := resp.ParseInt(args[at])
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

// FlagList returns the flags in Redis's words.
func (cmd *Command) FlagList() []string {
	var names []string
	for _, f := range flagNames {
		if cmd.Flags&f.f != 0 {
			names = append(names, f.name)
		}
	}
	return names
}

// CountedCommands returns all commands and subcommands by name: a container counts what was refused without
// naming a subcommand.
func (e *Engine) CountedCommands() []*Command {
	var all []*Command
	for _, cmd := range e.Commands {
		all = append(append(all, cmd), cmd.Sub...)
	}
	slices.SortFunc(all, func(a, b *Command) int { return strings.Compare(a.full, b.full) })
	return all
}

// AllCommands returns all commands and subcommands by name, without the containers that are no commands themselves.
func (e *Engine) AllCommands() []*Command {
	return slices.DeleteFunc(e.CountedCommands(), func(cmd *Command) bool { return cmd.Handler == nil })
}
