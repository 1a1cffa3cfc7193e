package acl

import (
	"slices"
	"strings"
)

// Command is what rights have to know of a command.
type Command struct {
	Name       string   // in lower case; of a subcommand with its container's: "config|get"
	Categories []string // without the @
	NoAuth     bool     // it is for strangers, too
	Newer      bool     // Redis 7.0 does not know it: it does not count when rights are put into words
}

// Commands are the commands that rights are about.
type Commands struct {
	// AllChannels is what acl-pubsub-default says: users and selectors begin with all channels, not with none.
	AllChannels bool

	source func() []Command
	all    []entry        // by name: a container stands before its subcommands
	at     map[string]int // the index in all
}

type entry struct {
	Command
	parent int   // -1: it is no subcommand
	subs   []int // of a container
}

// Categories are all categories of commands, in Redis's order.
var Categories = []string{
	"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream",
	"pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
}

// NewCommands returns the commands of a list, in which each name stands once, and a container where its
// subcommands do. The list is asked for when a rule is about less than all commands, which may be never.
func NewCommands(list func() []Command) *Commands { return &Commands{source: list} }

// list returns the commands, by their IDs.
func (cs *Commands) list() []entry {
	if cs.all != nil {
		return cs.all
	}
	list := slices.Clone(cs.source())
	slices.SortFunc(list, func(a, b Command) int { return strings.Compare(a.Name, b.Name) })
	cs.at = make(map[string]int, len(list))
	for i, c := range list {
		e := entry{Command: c, parent: -1}
		if container, _, isSub := strings.Cut(c.Name, "|"); isSub {
			e.parent = cs.at[container]
			cs.all[e.parent].subs = append(cs.all[e.parent].subs, i)
		}
		cs.at[c.Name] = i
		cs.all = append(cs.all, e)
	}
	return cs.all
}

// ID returns the number by which Check knows a command, or -1.
func (cs *Commands) ID(name string) int {
	cs.list()
	if id, ok := cs.at[name]; ok {
		return id
	}
	return -1
}

// find is ID for a name in any case.
func (cs *Commands) find(name string) int { return cs.ID(strings.ToLower(name)) }
