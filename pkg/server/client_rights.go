package server

import (
	"fmt"
	"slices"

	"byor/pkg/acl"
	"byor/pkg/engine"
	"byor/pkg/introspect"
)

// What the users of sessions may do (package acl), and what becomes of sessions when that changes. A session whose user
// may do everything is asked nothing: only the others are in engine.ModeRestricted. The link to a master, the loading
// of files and the process's own sessions have no user; they may do everything, too.

// accounts are the users of a server. Guarded by the engine's lock.
type accounts struct {
	users  *acl.Users
	denied acl.Log
	asked  acl.Request             // filled again and again, see lacks
	ids    map[*engine.Command]int // the commands' IDs in users.Commands()
	wrong  error                   // with the users of the configuration: the server must not start
}

// initUsers makes the users that the configuration names.
func (s *Server) initUsers() {
	s.users = acl.NewUsers(acl.NewCommands(s.commandsForACL))
	s.ids = map[*engine.Command]int{}
	s.users.Commands().AllChannels = s.cfg.ACLPubsubDefault == "allchannels"
	if s.cfg.RequirePass != "" {
		s.setDefaultPassword()
	}
	if s.wrong = s.loadUsers(); s.wrong != nil {
		s.mustApply(s.users.Default(), "reset") // nobody may come in
	}
}

// commandsForACL returns all commands of Redis 7.0, also those that are not here: rules may name them.
func (s *Server) commandsForACL() []acl.Command {
	var list []acl.Command
	noAuth := map[string]bool{}
	known := introspect.Documented()
	for _, cmd := range s.eng.CountedCommands() {
		noAuth[cmd.FullName()] = cmd.Flags&engine.NoAuth != 0
		if known[cmd.FullName()] == nil { // the program's own
			list = append(list, acl.Command{Name: cmd.FullName(), NoAuth: cmd.Flags&engine.NoAuth != 0})
		}
	}
	for name, f := range known {
		c := acl.Command{Name: name, NoAuth: noAuth[name]}
		for _, category := range f.Categories {
			c.Categories = append(c.Categories, category[len("@"):])
		}
		list = append(list, c)
	}
	return list
}

// mustApply obeys rules that cannot be wrong.
func (s *Server) mustApply(u *acl.User, rules ...string) {
	for _, rule := range rules {
		if err := u.Apply(rule); err != nil {
			panic("server: rule of a user: " + err.Error())
		}
	}
}

// setDefaultPassword makes requirepass the one password of the default user.
func (s *Server) setDefaultPassword() {
	pass := "nopass"
	if s.cfg.RequirePass != "" {
		pass = ">" + s.cfg.RequirePass
	}
	s.mustApply(s.users.Default(), "resetpass", pass)
}

// open reports whether who connects need not log in.
func (s *Server) open() bool {
	u := s.users.Default()
	return u.NoPass() && u.Enabled()
}

// NeedsLogin reports whether clients have to log in now. It is for what stands beside the server in the same process.
func (s *Server) NeedsLogin() bool {
	s.eng.Lock()
	defer s.eng.Unlock()
	return !s.open()
}

// become makes u the user of the session; nil: it may do everything.
func (c *client) become(u *acl.User, authenticated bool) {
	c.user, c.authenticated = u, authenticated
	c.judge()
}

// begin makes the session one of the default user, as it is when it connects.
func (c *client) begin() { c.become(c.s.users.Default(), c.s.open()) }

// judge works out what the engine has to know of the user of the session.
func (c *client) judge() {
	c.Authed = c.authenticated || c.s.open()
	c.Mode &^= engine.ModeRestricted
	if c.user != nil && !c.user.Unrestricted() {
		c.Mode |= engine.ModeRestricted
	}
}

// usersChanged lets all sessions know that rights have changed.
func (s *Server) usersChanged() {
	for _, c := range s.clients {
		c.judge()
	}
}

// dismiss ends the sessions of users that are no more.
func (s *Server) dismiss(gone ...*acl.User) {
	for _, c := range s.clients {
		if c.user == nil || !slices.Contains(gone, c.user) {
			continue
		}
		c.become(s.users.Default(), false)
		if c.runs() { // it is to hear of it
			c.closing = max(c.closing, closeAfterReply)
			continue
		}
		s.end(c, EndKilled)
	}
}

// silence ends the sessions that are subscribed to what their user may not hear any more once u has the rights of
// next.
func (s *Server) silence(u, next *acl.User) {
	if !u.LosesChannels(next) {
		return
	}
	for _, c := range s.clients {
		if c.user == u && c.Subs.Count() > 0 && !c.mayHearAll(next) {
			s.end(c, EndKilled)
		}
	}
}

// userName returns the name of the session's user, as CLIENT LIST has it.
func (c *client) userName() string {
	if c.user == nil {
		return "(superuser)"
	}
	return c.user.Name
}

// lacks is User.Check of a command.
func (s *Server) lacks(u *acl.User, cmd *engine.Command, args [][]byte) (what acl.Denial, at int) {
	r := s.request(u, cmd, args)
	what, at = u.Check(r)
	clear(r.Keys) // they are the client's
	clear(r.Channels)
	r.FirstArg = nil
	return what, at
}

// request puts a command into the terms of package acl. It is good until the next one.
func (s *Server) request(u *acl.User, cmd *engine.Command, args [][]byte) *acl.Request {
	id, known := s.ids[cmd]
	if !known {
		id = s.users.Commands().ID(cmd.FullName())
		s.ids[cmd] = id
	}
	r := &s.asked
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
func (w world) Forbids(es *engine.Session, cmd *engine.Command, args [][]byte) string {
	c := clientOf(es)
	what, at := w.s.lacks(c.user, cmd, args)
	if what == acl.Granted {
		return ""
	}
	object := cmd.FullName()
	if what != acl.DeniedCommand {
		object = string(args[at])
	}
	c.logDenial(what, object, c.user.Name)
	switch {
	case c.Has(engine.ModeScript):
		return deniedToScript[what]
	case c.Has(engine.ModeExec):
		return "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. " +
			"This command is no longer allowed for the following reason: " + deniedInExec[what]
	case what == acl.DeniedCommand:
		return fmt.Sprintf(deniedToUser[what], object)
	}
	return deniedToUser[what]
}

// logDenial notes for ACL LOG that something was denied to a user.
func (c *client) logDenial(what acl.Denial, object, user string) {
	context := "toplevel"
	switch {
	case c.Has(engine.ModeScript):
		context = "lua"
	case c.Has(engine.ModeExec | engine.ModeMulti):
		context = "multi"
	}
	c.s.denied.Add(acl.Entry{What: what, Context: context, Object: object, User: user, AtMs: c.s.eng.NowMs, Client: c.describe()}, c.s.cfg.ACLLogMaxLen)
}

func (w world) Allows(es *engine.Session, cmd *engine.Command, args [][]byte) bool {
	what, _ := w.s.lacks(clientOf(es).user, cmd, args)
	return what == acl.Granted
}

func (w world) ReadsAnyKey(es *engine.Session) bool {
	u := clientOf(es).user
	return u.AnyKey(w.s.request(u, es.Cmd, es.Args), acl.Read)
}
