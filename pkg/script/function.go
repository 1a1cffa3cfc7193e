package script

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/pubsub"
	"byor/pkg/rdb"
)

// FCALL and FUNCTION.

// fcallFlags returns what FCALL may do with the function that it is given.
func fcallFlags(c *engine.Session, args [][]byte) engine.Flag {
	f := c.Engine().Scripts.(*scripts).libs.function(args[1])
	if f == nil {
		return c.Cmd.Flags
	}
	return f.flags.of(c.Cmd.Flags)
}

func cmdFcall(s *scripts, c *engine.Call) {
	c.Announce()
	f := s.libs.function(c.Args[1])
	if f == nil {
		c.Fail("ERR Function not found")
		return
	}
	keys, args, ok := keysAndArgs(c)
	if !ok {
		return
	}
	r := &execution{s: s, m: s.functions, call: c, name: f.name, flags: f.flags}
	if r.mayRun() {
		r.do(f.code, keys, args)
	}
}

// changed notes that the libraries have changed: the command is to be saved and replicated.
func (s *scripts) changed() { s.e.Changes++ }

func cmdFunctionLoad(s *scripts, c *engine.Call) {
	last := len(c.Args) - 1
	for _, word := range c.Args[2:last] {
		if !engine.IsWord(word, "replace") {
			c.Fail("ERR Unknown option given: " + engine.Quoted(word))
			return
		}
	}
	patience := loadPatience
	if c.Trusted() {
		patience = 0
	}
	name, err := s.loadInto(s.libs, string(c.Args[last]), last > 2, patience)
	if err != nil {
		c.Fail("ERR " + err.Error())
		return
	}
	s.changed()
	c.Reply.BulkString(name)
}

func cmdFunctionDelete(s *scripts, c *engine.Call) {
	name := string(c.Args[2])
	if s.libs.byName[name] == nil {
		c.Fail("ERR Library not found")
		return
	}
	s.libs.remove(name)
	s.changed()
	c.Reply.OK()
}

func cmdFunctionFlush(s *scripts, c *engine.Call) {
	switch {
	case len(c.Args) > 3:
		c.FailSubcommand()
		return
	case len(c.Args) == 3 && !c.Is(2, "sync") && !c.Is(2, "async"):
		c.Fail("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
		return
	}
	s.libs = newLibraries()
	s.changed()
	c.Reply.OK()
}

// listOptions reads the options of FUNCTION LIST. It replies an error if they are wrong.
func listOptions(c *engine.Call) (pattern []byte, code, ok bool) {
	for i := 2; i < len(c.Args); i++ {
		switch {
		case !code && c.Is(i, "withcode"):
			code = true
		case pattern == nil && c.Is(i, "libraryname"):
			if i++; i == len(c.Args) {
				c.Fail("ERR library name argument was not given")
				return nil, false, false
			}
			pattern = c.Args[i]
		default:
			c.Fail("ERR Unknown argument " + engine.Quoted(c.Args[i]))
			return nil, false, false
		}
	}
	return pattern, code, true
}

func cmdFunctionList(s *scripts, c *engine.Call) {
	pattern, code, ok := listOptions(c)
	if !ok {
		return
	}
	var found []*library
	for _, name := range s.libs.names() {
		if pattern == nil || pubsub.MatchFold(pattern, []byte(name)) {
			found = append(found, s.libs.byName[name])
		}
	}
	c.Reply.Array(len(found))
	for _, l := range found {
		n := 3
		if code {
			n++
		}
		c.Reply.Map(n)
		c.Reply.BulkString("library_name")
		c.Reply.BulkString(l.name)
		c.Reply.BulkString("engine")
		c.Reply.BulkString("LUA")
		c.Reply.BulkString("functions")
		replyFunctions(c, l)
		if code {
			c.Reply.BulkString("library_code")
			c.Reply.BulkString(l.source)
		}
	}
}

func replyFunctions(c *engine.Call, l *library) {
	c.Reply.Array(len(l.functions))
	for _, name := range slices.Sorted(maps.Keys(l.functions)) {
		f := l.functions[name]
		c.Reply.Map(3)
		c.Reply.BulkString("name")
		c.Reply.BulkString(f.name)
		c.Reply.BulkString("description")
		if f.description == nil {
			c.Reply.Null()
		} else {
			c.Reply.BulkString(*f.description)
		}
		c.Reply.BulkString("flags")
		names := f.flags.names()
		c.Reply.Set(len(names))
		for _, n := range names {
			c.Reply.SimpleString(n)
		}
	}
}

func cmdFunctionStats(s *scripts, c *engine.Call) {
	r := s.running
	if r != nil && r.eval {
		c.Fail(errBusyScript)
		return
	}
	c.Reply.Map(2)
	c.Reply.BulkString("running_script")
	if r == nil {
		c.Reply.Null()
	} else {
		c.Reply.Map(3)
		c.Reply.BulkString("name")
		c.Reply.BulkString(r.name)
		c.Reply.BulkString("command")
		c.Reply.Array(len(r.command))
		for _, a := range r.command {
			c.Reply.Bulk(a)
		}
		c.Reply.BulkString("duration_ms")
		c.Reply.Int(r.duration().Milliseconds())
	}
	c.Reply.BulkString("engines")
	c.Reply.Map(1)
	c.Reply.BulkString("LUA")
	c.Reply.Map(2)
	c.Reply.BulkString("libraries_count")
	c.Reply.Int(int64(len(s.libs.byName)))
	c.Reply.BulkString("functions_count")
	c.Reply.Int(int64(len(s.libs.functions)))
}

// cmdFunctionDump replies all libraries in the form of RDB, with the footer of DUMP.
func cmdFunctionDump(s *scripts, c *engine.Call) {
	c.Reply.Bulk(rdb.DumpFunctions(s.Libraries()))
}

// cmdFunctionRestore takes libraries from a payload of FUNCTION DUMP: all of them, or none.
func cmdFunctionRestore(s *scripts, c *engine.Call) {
	policy := "append"
	if len(c.Args) > 4 {
		c.FailSubcommand()
		return
	}
	if len(c.Args) == 4 {
		if policy = strings.ToLower(string(c.Args[3])); policy != "flush" && policy != "append" && policy != "replace" {
			c.Fail("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
			return
		}
	}
	libs, err := s.restored(c.Args[2], policy)
	if err != nil {
		c.Fail("ERR " + err.Error())
		return
	}
	s.libs = libs
	s.changed()
	c.Reply.OK()
}

// restored returns the libraries that there are when those in a payload have come in.
func (s *scripts) restored(payload []byte, policy string) (libraries, error) {
	sources, err := rdb.RestoreFunctions(payload)
	if err != nil {
		return libraries{}, err
	}
	given, libs := newLibraries(), s.libs.clone()
	for _, source := range sources {
		if _, err := s.loadInto(given, source, false, 0); err != nil {
			return libraries{}, err
		}
	}
	if policy == "flush" {
		return given, nil
	}
	for _, name := range given.names() {
		if libs.byName[name] != nil && policy == "append" {
			return libraries{}, errors.New("Library " + name + " already exists")
		}
		libs.remove(name)
	}
	for _, name := range given.names() {
		if err := libs.add(given.byName[name], false); err != nil {
			return libraries{}, err
		}
	}
	return libs, nil
}

func cmdFunctionHelp(_ *scripts, c *engine.Call) {
	c.Help(
		"LOAD [REPLACE] <FUNCTION CODE>", "    Create a new library with the given library name and code.",
		"DELETE <LIBRARY NAME>", "    Delete the given library.",
		"LIST [LIBRARYNAME PATTERN] [WITHCODE]", "    Return general information on all the libraries:", "    * Library name", "    * The engine used to run the Library", "    * Library description", "    * Functions list", "    * Library code (if WITHCODE is given)", "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
		"STATS", "    Return information about the current function running:", "    * Function name", "    * Command used to run the function", "    * Duration in MS that the function is running", "    If no function is running, return nil", "    In addition, returns a list of available engines.",
		"KILL", "    Kill the current running function.",
		"FLUSH [ASYNC|SYNC]", "    Delete all the libraries.", "    When called without the optional mode argument, the behavior is determined by the", "    lazyfree-lazy-user-flush configuration directive. Valid modes are:", "    * ASYNC: Asynchronously flush the libraries.", "    * SYNC: Synchronously flush the libraries.",
		"DUMP", "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
		"RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]", "    Restore the libraries represented by the given payload, it is possible to give a restore policy to", "    control how to handle existing libraries (default APPEND):", "    * FLUSH: delete all existing libraries.", "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.", "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old", "      libraries with the new libraries (notice that even on this option there is a chance of failure", "      in case of functions name collision with another library).",
	)
}
