package script

import (
	"strings"

	"byor/pkg/engine"
	"byor/pkg/resp"
)

// A script may say in its first line what it does: "#!lua flags=no-writes,allow-stale". Then it can be refused
// before it begins, as a command is, instead of half-way; and it may do what others may not. A script without
// such a line may do what its commands may, one by one.

// flags are what a script or a function says of itself.
type flags uint8

const (
	noWrites flags = 1 << iota
	allowOOM
	allowStale
	noCluster
	crossSlots
	undeclared // it says nothing
)

var flagNames = []struct {
	name string
	f    flags
}{
	{"no-writes", noWrites}, {"allow-oom", allowOOM}, {"allow-stale", allowStale}, {"no-cluster", noCluster},
	{"allow-cross-slot-keys", crossSlots},
}

func flagNamed(name string) (flags, bool) {
	for _, f := range flagNames {
		if f.name == name {
			return f.f, true
		}
	}
	return 0, false
}

// names returns the flags in Redis's words.
func (f flags) names() []string {
	var list []string
	for _, n := range flagNames {
		if f&n.f != 0 {
			list = append(list, n.name)
		}
	}
	return list
}

// shebang reads the first line of a script of EVAL. It returns the flags, the code without the line, but with its
// line break, so that the numbers of lines are right, and what is wrong with it.
func shebang(source string) (f flags, code, problem string) {
	if !strings.HasPrefix(source, "#!") {
		return undeclared, source, ""
	}
	end := strings.IndexByte(source, '\n')
	if end < 0 {
		return 0, "", "Invalid script shebang"
	}
	words, ok := resp.SplitArgs([]byte(source[:end]))
	if !ok || len(words) == 0 {
		return 0, "", "Invalid engine in script shebang"
	}
	if string(words[0]) != "#!lua" {
		return 0, "", "Unexpected engine in script shebang: " + string(words[0])
	}
	for _, w := range words[1:] {
		list, ok := strings.CutPrefix(string(w), "flags=")
		if !ok {
			return 0, "", "Unknown lua shebang option: " + string(w)
		}
		if list == "" {
			continue
		}
		for _, name := range strings.Split(list, ",") {
			flag, ok := flagNamed(name)
			if !ok {
				return 0, "", "Unexpected flag in script shebang: " + name
			}
			f |= flag
		}
	}
	return f, source[end:], ""
}

// of returns the flags of the command that runs a script that has these.
func (f flags) of(cmd engine.Flag) engine.Flag {
	if f&undeclared != 0 {
		return cmd
	}
	cmd &^= engine.Stale | engine.DenyOOM | engine.Write | engine.MayReplicate
	if f&(allowOOM|noWrites) == 0 {
		cmd |= engine.DenyOOM
	}
	if f&noWrites == 0 {
		cmd |= engine.Write
	}
	if f&allowStale != 0 {
		cmd |= engine.Stale
	}
	return cmd
}
