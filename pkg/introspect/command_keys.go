package introspect

import (
	"encoding/json"
	"math"
	"slices"

	"byor/pkg/engine"
)

// COMMAND GETKEYS and GETKEYSANDFLAGS.

// cmdCommandGetkeys replies the keys of the command that follows, for GETKEYSANDFLAGS with what
// the command does to them.
func cmdCommandGetkeys(c *engine.Call) {
	args := c.Args[2:]
	cmd := c.Engine().Lookup(args)
	n := len(args)
	switch {
	case cmd == nil:
		c.Fail("ERR Invalid command specified")
		return
	case !HasKeys(cmd):
		c.Fail("ERR The command has no key arguments")
		return
	case cmd.Arity > 0 && n != cmd.Arity || n < -cmd.Arity:
		c.Fail("ERR Invalid number of arguments specified for command")
		return
	}
	pos := cmd.KeyPositions(args)
	if len(pos) == 0 && cmd.Flags&engine.NoMandatoryKeys == 0 {
		c.Fail("ERR Invalid arguments specified for command")
		return
	}
	c.Reply.Array(len(pos))
	for _, i := range pos {
		if c.Cmd.Name == "getkeys" {
			c.Reply.Bulk(args[i])
			continue
		}
		c.Reply.Array(2)
		c.Reply.Bulk(args[i])
		simpleStrings(c, keyFlags(cmd, args, i))
	}
}

// What a command may do to a key, where COMMAND INFO does not say it once and for all.
var (
	keyRead    = []string{"RO", "access"}
	keyReplace = []string{"OW", "update"}
	keyChange  = []string{"RW", "access", "update"}
)

// keyFlags returns the flags of the key specification that covers the key at index i, or what the other
// arguments make of the key where the specification leaves that open.
func keyFlags(cmd *engine.Command, args [][]byte, i int) []string {
	switch cmd.FullName() {
	case "sort", "georadius", "georadiusbymember": // a second key is where STORE puts the result
		if i > 1 {
			return keyReplace
		}
		return keyRead
	case "set":
		isGet := func(a []byte) bool { return engine.EqualFold(a, "get") }
		if slices.ContainsFunc(args[3:], isGet) {
			return keyChange
		}
		return keyReplace
	case "bitfield":
		if bitfieldReads(args) {
			return keyRead
		}
		return keyChange
	}
	if ks := specFor(cmd, i); ks != nil {
		return ks.Flags
	}
	return nil
}

// specFor returns the key specification that covers the key at index i; nil: there is none.
func specFor(cmd *engine.Command, i int) (best *keySpec) {
	specs := FactsOf(cmd).KeySpecs
	for n := range specs {
		if n == 0 || specs[n].from <= i {
			best = &specs[n]
		}
	}
	return best
}

// firstArg returns keySpec.from.
func (ks *keySpec) firstArg() int {
	var index int
	if json.Unmarshal(ks.BeginSearch.Spec["index"], &index) != nil {
		return math.MaxInt
	}
	return index
}

// HasKeys reports whether a command may have keys among its arguments.
func HasKeys(cmd *engine.Command) bool {
	return (cmd.Keys.First != 0 || cmd.KeysOf != nil) && cmd.Group != "pubsub" // a sharded channel is placed as a key is, but is none
}

// KeyAccess reports what a command does with the key at index i of its arguments: whether it makes use of what is in it,
// and whether it changes it. TYPE does neither.
func KeyAccess(cmd *engine.Command, args [][]byte, i int) (reads, writes bool) {
	switch cmd.FullName() {
	case "sort", "georadius", "georadiusbymember", "set", "bitfield":
		return access(keyFlags(cmd, args, i))
	}
	if ks := specFor(cmd, i); ks != nil {
		return ks.reads, ks.writes
	}
	return false, false
}

// access reports what flags of a key specification come to.
func access(flags []string) (reads, writes bool) {
	for _, flag := range flags {
		switch flag {
		case "access":
			reads = true
		case "update", "insert", "delete":
			writes = true
		}
	}
	return reads, writes
}

// bitfieldReads reports whether nothing but GET is asked of BITFIELD, as far as its words are right.
func bitfieldReads(args [][]byte) bool {
	for i := 2; i < len(args); i++ {
		switch left := len(args) - i - 1; {
		case engine.EqualFold(args[i], "get") && left >= 2:
			i += 2
		case engine.EqualFold(args[i], "overflow") && left >= 1:
			i++
		default:
			return false
		}
	}
	return true
}
