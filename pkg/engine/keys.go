package engine

import "strings"

// What happens to keys, for those who want to know: clients that keep copies of values, and subscribers to keyspace
// events. A handler says it once, as ever, by Changed, Touched, Set, Put, Del or RemoveIfEmpty: what has happened is
// called as the command is, or as the table says (Command.Event). As gives the next of them another name, Tell is
// for what happens without a change that anybody waits for.
//
// While nobody wants to know, all this is one look at Engine.Keys for each change.

// Class is a set of classes of what can happen to a key, as notify-keyspace-events has them.
type Class uint16

// The classes, with their letters.
const (
	ClassKey     Class = 1 << iota // g: whatever the type
	ClassString                    // $
	ClassList                      // l
	ClassSet                       // s
	ClassHash                      // h
	ClassZSet                      // z
	ClassExpired                   // x
	ClassEvicted                   // e
	ClassStream                    // t
	ClassModule                    // d
	ClassMissed                    // m: somebody looked for a key that is not there
	ClassNew                       // n
)

// KeyListener is told what happens to keys. Its methods are called with the engine's lock held.
type KeyListener interface {
	// KeyChanged is told of each key, in any database, that was created, changed or deleted: by a command
	// of the session, or of itself where by is nil.
	KeyChanged(by *Session, key string)
	// KeyEvicted is told of each key that was deleted to make room.
	KeyEvicted(key string)
	// KeyEvent is told of all that happens, if the class is in Engine.KeyClasses.
	KeyEvent(class Class, db int, event, key string)
	// KeysRead is told of each command with the flag ReadOnly that a session in ModeTracks has run.
	KeysRead(c *Session, cmd *Command, args [][]byte)
	// KeysFlushed is told when databases were emptied, or replaced by other data.
	KeysFlushed()
	// Settle is called before output is passed on, when what was going on is over for now.
	Settle()
}

// happening is what has happened to a key.
type happening struct {
	class Class
	event string // "": nothing that anybody is told of
}

// noEvent is the Event of commands that change keys without an event.
const noEvent = "-"

// classOf returns the class of what commands of a group do.
func classOf(group string) Class {
	switch group {
	case "string", "bitmap", "hyperloglog":
		return ClassString
	case "list":
		return ClassList
	case "set":
		return ClassSet
	case "hash":
		return ClassHash
	case "sorted-set", "geo":
		return ClassZSet
	case "stream":
		return ClassStream
	}
	return ClassKey
}

// does works out what the command does to keys, from its facts.
func (cmd *Command) does() happening {
	switch cmd.Event {
	case "":
		return happening{classOf(cmd.Group), strings.ReplaceAll(cmd.full, "|", "-")}
	case noEvent:
		return happening{}
	}
	return happening{classOf(cmd.Group), cmd.Event}
}

// As says what the change is called that the handler tells of next, where it is not called as its command's are.
func (c *Call) As(class Class, event string) *Call {
	if c.e.Keys != nil {
		c.next = happening{class, event}
	}
	return c
}

// Tell tells of something that has happened to a key, besides the change or without one.
func (c *Call) Tell(class Class, event string, key []byte) {
	if c.e.KeyClasses&class != 0 {
		c.e.Keys.KeyEvent(class, c.DB.ID(), event, string(key))
	}
}

// tell tells of a change.
func (c *Call) tell(db int, key string) {
	h := c.next
	if c.next = (happening{}); h.event == "" {
		h = c.Cmd.done
	}
	c.e.Keys.KeyChanged(c.c, key)
	if c.e.KeyClasses&h.class != 0 {
		c.e.Keys.KeyEvent(h.class, db, h.event, key)
	}
}

// ListenToKeys chooses who is told what happens to keys, and of which classes of events; nil: nobody.
func (e *Engine) ListenToKeys(l KeyListener, classes Class) {
	e.Keys, e.KeyClasses = l, classes
	e.Store.OnNew = nil
	if classes&ClassNew != 0 {
		e.Store.OnNew = func(db int, key string) { l.KeyEvent(ClassNew, db, "new", key) }
	}
}

// Outer returns the command that the client has sent: the script, while it is one of the commands inside that runs.
func (c *Session) Outer() (cmd *Command, args [][]byte) {
	if c.inner != nil {
		return c.inner.cmd, c.inner.args
	}
	return c.Cmd, c.Args
}
