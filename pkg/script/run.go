package script

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"byor/pkg/engine"

	lua "github.com/yuin/gopher-lua"
)

// execution is a script or a function under way.
type execution struct {
	s     *scripts
	m     *machine
	call  *engine.Call
	in    *engine.Inner
	name  string // the SHA-1 of a script, the name of a function
	flags flags
	eval  bool // it is no function

	readOnly bool
	killed   bool
	started  time.Time
	command  [][]byte // that runs it
}

// errStopped ends a script that was killed, or whose server ends, or that may not take so long.
var errStopped = errors.New("Script killed by user with SCRIPT KILL...")

// Error texts of Redis.
const (
	errBusyScript   = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
	errBusyFunction = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
	errNotBusy      = "NOTBUSY No scripts in execution right now."
)

// mayRun replies an error, and reports false, if a script that declared what it does may not do that now.
func (r *execution) mayRun() bool {
	c := r.call
	if msg := r.refusal(strings.HasSuffix(c.Cmd.Name, "_ro")); msg != "" {
		c.Fail(msg)
		return false
	}
	return true
}

func (r *execution) refusal(ro bool) string {
	c, declared := r.call, r.flags&undeclared == 0
	r.readOnly = ro || declared && r.flags&noWrites != 0
	stale := c.Refused(0) // what refuses that much is that the data are old
	switch {
	case !declared || stale == "":
	case r.flags&allowStale == 0:
		return "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is not set."
	}
	if !declared {
		return stale
	}
	if r.flags&noWrites == 0 {
		msg := writesRefused(c.Refused(engine.Write | engine.Stale))
		if ro && !strings.HasPrefix(msg, "READONLY") && !strings.HasPrefix(msg, "MISCONF") {
			return "ERR Can not execute a script with write flag using *_ro command."
		}
		if msg != "" {
			return msg
		}
	}
	if r.flags&(allowOOM|noWrites) == 0 && c.NoRoom() {
		return "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
	}
	return ""
}

// writesRefused returns what a script that may write is told where a command that writes is told msg.
func writesRefused(msg string) string {
	const blocked = "but it's currently unable to persist to disk. Writable scripts are blocked. Use 'no-writes' flag for read only scripts."
	switch {
	case strings.HasPrefix(msg, "READONLY"):
		return "READONLY Can not run script with write flag on readonly replica."
	case strings.HasPrefix(msg, "MISCONF Errors writing to the AOF"):
		_, cause, _ := strings.Cut(msg, ": ")
		return "MISCONF Redis is configured to persist data to AOF, " + blocked + " AOF error: " + cause
	case strings.HasPrefix(msg, "MISCONF"):
		return "MISCONF Redis is configured to save RDB snapshots, " + blocked
	}
	return msg
}

// do runs the function f and replies what it returns. A function of a library is given the keys and the
// arguments; a script finds them in KEYS and ARGV.
func (r *execution) do(f *lua.LFunction, keys, args [][]byte) {
	s, m, c := r.s, r.m, r.call
	k, a := m.strings(keys), m.strings(args)
	r.command, r.started = c.Args, time.Now()
	r.in = c.BeginInner()
	s.running, m.run = r, r
	var v lua.LValue
	var failed *scriptError
	if r.eval {
		m.defineOpen("KEYS", k)
		m.defineOpen("ARGV", a)
		v, failed = m.call(f, r.hook)
	} else {
		v, failed = m.call(f, r.hook, k, a)
	}
	proto, abandoned := r.in.Proto(), r.in.Abandoned()
	s.running, m.run = nil, nil
	r.in.End()
	if abandoned { // the server ends, and nobody is to believe in what the script did
		c.Session().Peer().HangUp()
		return
	}
	if failed != nil {
		r.fail(failed)
		return
	}
	m.reply(c, v, proto)
}

// fail replies the error that ended the script.
func (r *execution) fail(failed *scriptError) {
	msg, counted := r.m.errorText(failed.Value)
	if r.killed {
		msg, counted = "ERR "+errStopped.Error(), false
	}
	if failed.Source != "" {
		msg += " script: " + r.name + ", on " + failed.Source + ":" + strconv.Itoa(failed.Line) + "."
	}
	if counted {
		r.call.FailCounted(msg)
	} else {
		r.call.Fail(msg)
	}
}

// hook is asked again and again while the script runs. From busy-reply-threshold on it lets others in.
func (r *execution) hook() error {
	limit := r.call.Settings().BusyAfter
	took := time.Since(r.started)
	if limit <= 0 || took < limit {
		return nil
	}
	if r.s.e.Busy() == "" {
		kill := "FUNCTION KILL"
		if r.eval {
			kill = "SCRIPT KILL"
		}
		r.s.e.Warn("Slow script detected: still in execution after %d milliseconds. You can try killing the script using the %s command. Script name is: %s.",
			took.Milliseconds(), kill, r.name)
	}
	r.in.GiveWay(r.busy())
	if r.killed {
		r.s.e.Warn("Lua script killed by user with SCRIPT KILL.")
		return errStopped
	}
	if r.in.Abandoned() {
		return errStopped
	}
	return nil
}

func (r *execution) duration() time.Duration { return time.Since(r.started) }

// busy returns what others are told while the script takes long.
func (r *execution) busy() string {
	if r.eval {
		return errBusyScript
	}
	return errBusyFunction
}

// kill ends the script that runs, unless it has changed something: then it is too late.
func (s *scripts) kill(c *engine.Call, eval bool) {
	r := s.running
	switch {
	case r == nil:
		c.Fail(errNotBusy)
	case r.call.Trusted():
		c.Fail("UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed.")
	case r.in.Wrote:
		c.Fail("UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.")
	case eval != r.eval:
		c.Fail(r.busy())
	default:
		r.killed = true
		c.Reply.OK()
	}
}

func cmdScriptKill(s *scripts, c *engine.Call)   { s.kill(c, true) }
func cmdFunctionKill(s *scripts, c *engine.Call) { s.kill(c, false) }
