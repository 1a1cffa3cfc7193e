package script

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/resp"

	lua "github.com/yuin/gopher-lua"
)

// EVAL and what goes with it. A script is compiled once, and found again by the SHA-1 of its text. The cache has no
// bound and is no part of the data: it is not saved, not replicated, and empty after a restart, which is why a
// client that gets NOSCRIPT has to send the script itself.

// script is a script of EVAL.
type script struct {
	sha, source string
	flags       flags
	code        *lua.LFunction
}

const noScript = "NOSCRIPT No matching script. Please use EVAL."

func shaOf(source string) string {
	sum := sha1.Sum([]byte(source))
	return hex.EncodeToString(sum[:])
}

// store compiles a script, if it is not in the cache. problem is what is wrong with it.
func (s *scripts) store(source []byte) (sc *script, problem string) {
	if sc = s.bySource[string(source)]; sc != nil {
		return sc, ""
	}
	text := string(source)
	f, code, problem := shebang(text)
	if problem != "" {
		return nil, "ERR " + problem
	}
	if s.evals == nil {
		s.evals = newMachine(s)
		s.evals.openEval()
	}
	proto, err := compile("user_script", code)
	if err != nil {
		return nil, "ERR Error compiling script (new function): " + engine.Quoted([]byte(err.Error()))
	}
	sc = &script{sha: shaOf(text), source: text, flags: f, code: s.evals.load(proto)}
	s.bySHA[sc.sha], s.bySource[text] = sc, sc
	s.bytes += int64(len(text)) + scriptBytes
	return sc, ""
}

// bySum finds a stored script by its SHA-1 in hexadecimal, in any case.
func (s *scripts) bySum(sum []byte) *script {
	if len(sum) != 2*sha1.Size {
		return nil
	}
	if sc := s.bySHA[string(sum)]; sc != nil {
		return sc
	}
	return s.bySHA[strings.ToLower(string(sum))]
}

// flush forgets all scripts, and what runs them.
func (s *scripts) flush() {
	if s.evals != nil {
		s.evals.close()
	}
	s.evals, s.bytes = nil, 0
	s.bySHA, s.bySource = map[string]*script{}, map[string]*script{}
}

// evalFlags returns what EVAL and its like may do with the script that they are given.
func evalFlags(c *engine.Session, args [][]byte) engine.Flag {
	s, cmd := c.Engine().Scripts.(*scripts), c.Cmd
	var sc *script
	if strings.HasPrefix(cmd.Name, "evalsha") {
		sc = s.bySum(args[1])
	} else if sc = s.bySource[string(args[1])]; sc == nil {
		if f, _, problem := shebang(string(args[1])); problem == "" {
			return f.of(cmd.Flags)
		}
	}
	if sc == nil {
		return cmd.Flags
	}
	return sc.flags.of(cmd.Flags)
}

func cmdEval(s *scripts, c *engine.Call) {
	c.Announce()
	s.eval(c, func() *script {
		sc, problem := s.store(c.Args[1])
		if sc == nil {
			c.Fail(problem)
		}
		return sc
	})
}

func cmdEvalSHA(s *scripts, c *engine.Call) {
	c.Announce()
	s.eval(c, func() *script {
		sc := s.bySum(c.Args[1])
		if sc == nil {
			c.Fail(noScript)
		}
		return sc
	})
}

// eval runs the script that find finds, if it does.
func (s *scripts) eval(c *engine.Call, find func() *script) {
	if strings.HasPrefix(c.Cmd.Name, "evalsha") && len(c.Args[1]) != 2*sha1.Size {
		c.Fail(noScript)
		return
	}
	keys, args, ok := keysAndArgs(c)
	if !ok {
		return
	}
	sc := find()
	if sc == nil {
		return
	}
	r := &execution{s: s, m: s.evals, call: c, name: sc.sha, flags: sc.flags, eval: true}
	if !r.mayRun() {
		return
	}
	r.do(sc.code, keys, args)
}

// keysAndArgs splits the arguments behind the count of keys. It replies an error if that is wrong.
func keysAndArgs(c *engine.Call) (keys, args [][]byte, ok bool) {
	n, ok := resp.ParseInt(c.Args[2])
	switch {
	case !ok && c.Cmd.Name[0] == 'f':
		c.Fail("ERR Bad number of keys provided")
	case !ok:
		c.Fail(engine.ErrNotInt)
	case n > int64(len(c.Args)-3):
		c.Fail("ERR Number of keys can't be greater than number of args")
	case n < 0:
		c.Fail("ERR Number of keys can't be negative")
	default:
		return c.Args[3 : 3+n], c.Args[3+n:], true
	}
	return nil, nil, false
}

func cmdScriptLoad(s *scripts, c *engine.Call) {
	sc, problem := s.store(c.Args[2])
	if sc == nil {
		c.Fail(problem)
		return
	}
	c.Reply.BulkString(sc.sha)
}

func cmdScriptExists(s *scripts, c *engine.Call) {
	c.Reply.Array(len(c.Args) - 2)
	for _, sum := range c.Args[2:] {
		if s.bySum(sum) != nil {
			c.Reply.Int(1)
		} else {
			c.Reply.Int(0)
		}
	}
}

func cmdScriptFlush(s *scripts, c *engine.Call) {
	if len(c.Args) > 3 || len(c.Args) == 3 && !c.Is(2, "sync") && !c.Is(2, "async") {
		c.Fail("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
		return
	}
	s.flush()
	c.Reply.OK()
}

// cmdScriptDebug refuses: there is no debugger. To switch off what is off is all right.
func cmdScriptDebug(_ *scripts, c *engine.Call) {
	switch {
	case c.Is(2, "no"):
		c.Reply.OK()
	case c.Is(2, "yes"), c.Is(2, "sync"):
		c.Fail("ERR this server has no debugger for scripts")
	default:
		c.Fail("ERR Use SCRIPT DEBUG YES/SYNC/NO")
	}
}

func cmdScriptHelp(_ *scripts, c *engine.Call) {
	c.Help(
		"DEBUG (YES|SYNC|NO)", "    Set the debug mode for subsequent scripts executed.",
		"EXISTS <sha1> [<sha1> ...]", "    Return information about the existence of the scripts in the script cache.",
		"FLUSH [ASYNC|SYNC]", "    Flush the Lua scripts cache. Very dangerous on replicas.", "    When called without the optional mode argument, the behavior is determined by the", "    lazyfree-lazy-user-flush configuration directive. Valid modes are:", "    * ASYNC: Asynchronously flush the scripts cache.", "    * SYNC: Synchronously flush the scripts cache.",
		"KILL", "    Kill the currently executing Lua script.",
		"LOAD <script>", "    Load a script into the scripts cache without executing it.",
	)
}
