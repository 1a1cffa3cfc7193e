package acl

import (
	"slices"
	"strings"

	"byor/pkg/pubsub"
)

// Denial is what a user lacks. A higher one weighs more when each selector lacks something else.
type Denial uint8

// The denials; the numbers are Redis's.
const (
	Granted Denial = iota
	DeniedCommand
	DeniedKey
	DeniedAuth
	DeniedChannel
)

// Request is a command that somebody would like to run.
type Request struct {
	Command  int    // its ID, -1 for one that is unknown here
	FirstArg []byte // what stands behind the command's name; nil: nothing
	Keys     []Key
	Channels []Channel
}

// Key is a key among the arguments.
type Key struct {
	Name   []byte
	At     int // the index of the argument
	Access Access
}

// Channel is a channel among the arguments, or a pattern of channels.
type Channel struct {
	Name    []byte
	At      int
	Pattern bool
}

// AsksKeys reports whether a Request needs its Keys to be judged.
func (u *User) AsksKeys() bool { return u.asksKeys }

// Check reports what the user lacks to run the command, and which argument it is about: if no selector grants the
// command, that; else the last key or channel that none of them grants.
func (u *User) Check(r *Request) (what Denial, at int) {
	what = DeniedCommand
	for _, s := range u.selectors {
		d, i := s.check(u.cmds, r)
		if d == Granted {
			return Granted, 0
		}
		if d > what || d == what && i > at {
			what, at = d, i
		}
	}
	return what, at
}

func (s *selector) check(cs *Commands, r *Request) (Denial, int) {
	if !s.grantsCommand(cs, r) {
		return DeniedCommand, 0
	}
	for i := range r.Keys {
		if k := &r.Keys[i]; !s.grantsKey(k) {
			return DeniedKey, k.At
		}
	}
	for i := range r.Channels {
		if c := &r.Channels[i]; !s.allChannels && !covers(s.channels, c.Name, c.Pattern) {
			return DeniedChannel, c.At
		}
	}
	return Granted, 0
}

func (s *selector) grantsCommand(cs *Commands, r *Request) bool {
	switch id := r.Command; {
	case s.allCommands:
		return true
	case id < 0:
		return s.future
	case cs.list()[id].NoAuth, s.has(id):
		return true
	default:
		is := func(arg string) bool { return strings.EqualFold(arg, string(r.FirstArg)) }
		return r.FirstArg != nil && slices.ContainsFunc(s.firstArgs[id], is)
	}
}

func (s *selector) grantsKey(k *Key) bool {
	if s.allKeys {
		return true
	}
	for i := range s.keys {
		p := &s.keys[i]
		if p.access&k.Access == k.Access && pubsub.Match(p.pattern, string(k.Name)) {
			return true
		}
	}
	return false
}

// covers reports whether patterns cover a channel. A pattern of channels must be one of them, letter by letter.
func covers(patterns []string, channel []byte, isPattern bool) bool {
	for _, p := range patterns {
		if isPattern && p == string(channel) || !isPattern && pubsub.Match(p, string(channel)) {
			return true
		}
	}
	return false
}

// AnyKey reports whether the user may run the command and has access to all keys with it, so that it may touch keys
// that it does not name.
func (u *User) AnyKey(r *Request, access Access) bool {
	for _, s := range u.selectors {
		every := func(p keyPattern) bool { return p.pattern == "*" && p.access&access == access }
		if d, _ := s.check(u.cmds, r); d == Granted && (s.allKeys || slices.ContainsFunc(s.keys, every)) {
			return true
		}
	}
	return false
}

// LosesChannels reports whether a user who is about to get the rights of next may lose a channel by that.
func (u *User) LosesChannels(next *User) bool {
	all := func(s *selector) bool { return s.allChannels }
	if slices.ContainsFunc(next.selectors, all) {
		return false
	}
	if slices.ContainsFunc(u.selectors, all) {
		return true
	}
	kept := next.channels()
	return slices.ContainsFunc(u.channels(), func(p string) bool { return !slices.Contains(kept, p) })
}

// HearsChannel reports whether a selector covers a channel or a pattern of channels.
func (u *User) HearsChannel(name string, isPattern bool) bool {
	all := func(s *selector) bool { return s.allChannels }
	return slices.ContainsFunc(u.selectors, all) || covers(u.channels(), []byte(name), isPattern)
}

func (u *User) channels() (list []string) {
	for _, s := range u.selectors {
		list = append(list, s.channels...)
	}
	return list
}
