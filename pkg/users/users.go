// Package users are the users of a server: what ACL and AUTH change and ask, the file in which users stand, what is
// denied to whom, and what becomes of sessions when rights change. What rules mean is package acl's.
//
// The order in which to read it: this file; login.go, what a session has to do with its user; rights.go, the question
// that the engine asks before a command; files.go and commands.go.
//
// The package knows no connections. What it has to know of those stands in Host.
package users

import (
	"iter"

	"byor/pkg/acl"
	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/introspect"
	"byor/pkg/pubsub"
)

// Host is the server whose users they are. Its methods are called with the engine's lock held, but for those that
// write to the server's log.
type Host interface {
	Notice(format string, args ...any)
	Warn(format string, args ...any)

	// Logins yields those of all sessions with a connection.
	Logins() iter.Seq[*Login]
	// End ends a session: at once, or when it has been sent the reply of the command that runs.
	End(c *engine.Session, afterReply bool)
}

// Keeper is a session's peer where there are users. It is what the session's subscriptions are known by, too.
type Keeper interface {
	pubsub.Subscriber
	Login() *Login
}

func loginOf(c *engine.Session) *Login { return c.Peer().(Keeper).Login() }

// Accounts are the users of a server, and what was denied them. The engine's lock guards them; a method needs it,
// unless it says otherwise.
type Accounts struct {
	*acl.Users
	eng  *engine.Engine
	cfg  *config.Config
	host Host

	denied acl.Log
	asked  acl.Request             // filled again and again, see lacks
	ids    map[*engine.Command]int // the commands' IDs in Commands()
	wrong  error                   // see Err
}

// New returns the users that the configuration names, or its ACL file. Where these are wrong, Err says so. The engine
// is not yet in use, or its lock is held.
func New(eng *engine.Engine, cfg *config.Config, host Host) *Accounts {
	a := &Accounts{eng: eng, cfg: cfg, host: host, ids: map[*engine.Command]int{}}
	a.Users = acl.NewUsers(acl.NewCommands(a.commands))
	a.Configure()
	if cfg.RequirePass != "" {
		a.setDefaultPassword()
	}
	if a.wrong = a.load(); a.wrong != nil {
		mustApply(a.Default(), "reset") // nobody may come in
	}
	return a
}

// Err says what is wrong with the users that the configuration names: the server must not start with them. It needs
// no lock.
func (a *Accounts) Err() error { return a.wrong }

// by makes a handler of a function that has to do with users.
func by(h func(a *Accounts, c *engine.Call)) func(*engine.Call) {
	return func(c *engine.Call) { h(loginOf(c.Session()).accounts, c) }
}

// commands returns all commands of Redis 7.0, also those that are not here: rules may name them.
func (a *Accounts) commands() []acl.Command {
	var list []acl.Command
	noAuth := map[string]bool{}
	known := introspect.Documented()
	for _, cmd := range a.eng.CountedCommands() {
		noAuth[cmd.FullName()] = cmd.Flags&engine.NoAuth != 0
		if known[cmd.FullName()] == nil { // the program's own
			list = append(list, acl.Command{Name: cmd.FullName(), Categories: implied(cmd.Flags), NoAuth: cmd.Flags&engine.NoAuth != 0})
		}
	}
	for name, f := range known {
		c := acl.Command{Name: name, NoAuth: noAuth[name], Newer: f.Since > "7.1"}
		for _, category := range f.Categories {
			c.Categories = append(c.Categories, category[len("@"):])
		}
		list = append(list, c)
	}
	return list
}

// implied returns the categories that follow from a command's flags. They are all that the program's own commands have,
// as the commands of modules in Redis.
func implied(f engine.Flag) (categories []string) {
	for _, c := range []struct {
		flag engine.Flag
		name string
	}{
		{engine.Write, "write"}, {engine.ReadOnly, "read"}, {engine.Admin, "admin"}, {engine.Admin, "dangerous"},
		{engine.PubSub, "pubsub"}, {engine.Fast, "fast"}, {engine.Blocking, "blocking"},
	} {
		if f&c.flag != 0 {
			categories = append(categories, c.name)
		}
	}
	if f&engine.Fast == 0 {
		categories = append(categories, "slow")
	}
	return categories
}

// mustApply obeys rules that cannot be wrong.
func mustApply(u *acl.User, rules ...string) {
	for _, rule := range rules {
		if err := u.Apply(rule); err != nil {
			panic("users: rule of a user: " + err.Error())
		}
	}
}

// Configure lets the parameters take effect that are not about users that there are already.
func (a *Accounts) Configure() {
	a.Commands().AllChannels = a.cfg.ACLPubsubDefault == "allchannels"
}

// PasswordChanged is told that requirepass is another one.
func (a *Accounts) PasswordChanged() {
	a.setDefaultPassword()
	a.changed()
}

// setDefaultPassword makes requirepass the one password of the default user.
func (a *Accounts) setDefaultPassword() {
	pass := "nopass"
	if a.cfg.RequirePass != "" {
		pass = ">" + a.cfg.RequirePass
	}
	mustApply(a.Default(), "resetpass", pass)
}

// Open reports whether whoever connects need not log in.
func (a *Accounts) Open() bool {
	u := a.Default()
	return u.NoPass() && u.Enabled()
}
