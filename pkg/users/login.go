package users

import (
	"slices"

	"byor/pkg/acl"
	"byor/pkg/engine"
	"byor/pkg/pubsub"
)

// Login is whose a session is. A session whose user may do everything is asked nothing: only the others are in
// engine.ModeRestricted. The link to a master, the loading of files and the process's own sessions have no user; they
// may do everything, too. The engine's lock guards it. Begin comes first.
type Login struct {
	session       *engine.Session
	accounts      *Accounts
	user          *acl.User // nil: it may do everything
	authenticated bool      // it has logged in, or there was no need to when it came
}

// Begin makes the session one of the default user, as it is when it connects.
func (l *Login) Begin(a *Accounts, c *engine.Session) {
	l.accounts, l.session = a, c
	l.Become(a.Default(), a.Open())
}

// Become makes u the user of the session; nil: it may do everything.
func (l *Login) Become(u *acl.User, authenticated bool) {
	l.user, l.authenticated = u, authenticated
	l.judge()
}

// Try makes the user with a name the session's if the password is right. Else it notes that the command that runs was
// denied.
func (l *Login) Try(name, pass []byte) bool {
	u := l.accounts.Find(string(name))
	if u == nil || !u.Admits(pass) {
		l.note(acl.DeniedAuth, string(l.session.Args[0]), string(name))
		return false
	}
	l.Become(u, true)
	return true
}

// Authenticated reports whether the session has logged in, or did not have to when it came.
func (l *Login) Authenticated() bool { return l.authenticated }

// Is reports whether the session is u's.
func (l *Login) Is(u *acl.User) bool { return l.user == u }

// Name returns the name of the session's user, as CLIENT LIST has it.
func (l *Login) Name() string {
	if l.user == nil {
		return "(superuser)"
	}
	return l.user.Name
}

// judge works out what the engine has to know of the user of the session.
func (l *Login) judge() {
	l.session.Authed = l.authenticated || l.accounts.Open()
	l.session.Mode &^= engine.ModeRestricted
	if l.user != nil && !l.user.Unrestricted() {
		l.session.Mode |= engine.ModeRestricted
	}
}

// changed lets all sessions know that rights have changed.
func (a *Accounts) changed() {
	for l := range a.host.Logins() {
		l.judge()
	}
}

// dismiss ends the sessions of users that are no more.
func (a *Accounts) dismiss(gone ...*acl.User) {
	for l := range a.host.Logins() {
		if l.user == nil || !slices.Contains(gone, l.user) {
			continue
		}
		l.Become(a.Default(), false)
		a.host.End(l.session, a.eng.Running == l.session) // who did that is to hear of it
	}
}

// silence ends the sessions that are subscribed to what their user may not hear any more once u has the rights of
// next.
func (a *Accounts) silence(u, next *acl.User) {
	if !u.LosesChannels(next) {
		return
	}
	for l := range a.host.Logins() {
		if l.user == u && l.session.Subs.Count() > 0 && !l.wouldHearAll(next) {
			a.host.End(l.session, false)
		}
	}
}

// wouldHearAll reports whether a user may hear all that the session is subscribed to.
func (l *Login) wouldHearAll(u *acl.User) bool {
	subscriber := l.session.Peer().(Keeper)
	for _, kind := range []pubsub.Kind{pubsub.Channel, pubsub.Pattern, pubsub.Sharded} {
		for _, name := range l.accounts.eng.Hub.Subscriptions(subscriber, kind) {
			if !u.HearsChannel(name, kind == pubsub.Pattern) {
				return false
			}
		}
	}
	return true
}
