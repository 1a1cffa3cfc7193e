package users

import (
	"fmt"

	"byor/pkg/acl"
	"byor/pkg/engine"
	"byor/pkg/introspect"
)

// The answers to engine.Rights.

var _ engine.Rights = (*Accounts)(nil)

// lacks is User.Check of a command.
func (a *Accounts) lacks(u *acl.User, cmd *engine.Command, args [][]byte) (what acl.Denial, at int) {
	r := a.request(u, cmd, args)
	what, at = u.Check(r)
	clear(r.Keys) // they are the client's
	clear(r.Channels)
	r.FirstArg = nil
	return what, at
}

// request puts a command into the terms of package acl. It is good until the next one.
func (a *Accounts) request(u *acl.User, cmd *engine.Command, args [][]byte) *acl.Request {
	id, known := a.ids[cmd]
	if !known {
		id = a.Commands().ID(cmd.FullName())
		a.ids[cmd] = id
	}
	r := &a.asked
	*r = acl.Request{Command: id, Keys: r.Keys[:0], Channels: r.Channels[:0]}
	if len(args) > 1 {
		r.FirstArg = args[1]
	}
	if !cmd.Takes(len(args)) {
		return r
	}
	if u.AsksKeys() && introspect.HasKeys(cmd) {
		for _, i := range cmd.KeyPositions(args) {
			k := acl.Key{Name: args[i], At: i}
			reads, writes := introspect.KeyAccess(cmd, args, i)
			if reads {
				k.Access |= acl.Read
			}
			if writes {
				k.Access |= acl.Write
			}
			r.Keys = append(r.Keys, k)
		}
	}
	r.Channels = appendChannels(r.Channels, cmd, args)
	return r
}

// What a user lacks, in the words for each place where a command may be denied. A command has its name put in.
var (
	deniedToUser = map[acl.Denial]string{
		acl.DeniedCommand: "NOPERM this user has no permissions to run the '%s' command",
		acl.DeniedKey:     "NOPERM this user has no permissions to access one of the keys used as arguments",
		acl.DeniedChannel: "NOPERM this user has no permissions to access one of the channels used as arguments",
	}
	deniedInExec = map[acl.Denial]string{
		acl.DeniedCommand: "no permission to execute the command or subcommand",
		acl.DeniedKey:     "no permission to touch the specified keys",
		acl.DeniedChannel: "no permission to access one of the channels used as arguments",
	}
	deniedToScript = map[acl.Denial]string{
		acl.DeniedCommand: "The user executing the script can't run this command or subcommand",
		acl.DeniedKey:     "The user executing the script can't access at least one of the keys mentioned in the command arguments",
		acl.DeniedChannel: "The user executing the script can't publish to the channel mentioned in the command",
	}
)

// Forbids checks the rights of the session's user, for the engine.
func (a *Accounts) Forbids(es *engine.Session, cmd *engine.Command, args [][]byte) string {
	l := loginOf(es)
	what, at := a.lacks(l.user, cmd, args)
	if what == acl.Granted {
		return ""
	}
	object := cmd.FullName()
	if what != acl.DeniedCommand {
		object = string(args[at])
	}
	l.note(what, object, l.user.Name)
	switch {
	case es.Has(engine.ModeScript):
		return deniedToScript[what]
	case es.Has(engine.ModeExec):
		return "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. " +
			"This command is no longer allowed for the following reason: " + deniedInExec[what]
	case what == acl.DeniedCommand:
		return fmt.Sprintf(deniedToUser[what], object)
	}
	return deniedToUser[what]
}

// note notes for ACL LOG that something was denied to a user.
func (l *Login) note(what acl.Denial, object, user string) {
	a, c := l.accounts, l.session
	context := "toplevel"
	switch {
	case c.Has(engine.ModeScript):
		context = "lua"
	case c.Has(engine.ModeExec | engine.ModeMulti):
		context = "multi"
	}
	entry := acl.Entry{What: what, Context: context, Object: object, User: user, AtMs: a.eng.NowMs, Client: c.Peer().Describe()}
	a.denied.Add(entry, a.cfg.ACLLogMaxLen)
}

// Allows is Forbids without a note.
func (a *Accounts) Allows(es *engine.Session, cmd *engine.Command, args [][]byte) bool {
	what, _ := a.lacks(loginOf(es).user, cmd, args)
	return what == acl.Granted
}

// ReadsAnyKey reports whether the command that runs may read keys that it does not name.
func (a *Accounts) ReadsAnyKey(es *engine.Session) bool {
	u := loginOf(es).user
	return u.AnyKey(a.request(u, es.Cmd, es.Args), acl.Read)
}

// appendChannels appends to list the channels among the arguments of a command, of those that one needs a right to.
func appendChannels(list []acl.Channel, cmd *engine.Command, args [][]byte) []acl.Channel {
	if cmd.Group != "pubsub" {
		return list
	}
	end, step := len(args), 1
	switch cmd.FullName() {
	case "publish", "spublish":
		end = 2
	case "subscribe", "ssubscribe", "psubscribe":
	case "history.subscribe": // each channel is followed by what is wanted of it
		step = 3
	default:
		return list
	}
	for i := 1; i < end; i += step {
		list = append(list, acl.Channel{Name: args[i], At: i, Pattern: cmd.Name == "psubscribe"})
	}
	return list
}
