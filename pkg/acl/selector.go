package acl

import (
	"errors"
	"slices"
	"strings"

	"byor/pkg/resp"
)

// What is wrong with a rule, in Redis's words.
var (
	ErrUnknown    = errors.New("Unknown command or category name in ACL")                                                                                                                                 //nolint:staticcheck
	ErrSyntax     = errors.New("Syntax error")                                                                                                                                                            //nolint:staticcheck
	ErrFirstArg   = errors.New("Allowing first-arg of a subcommand is not supported")                                                                                                                     //nolint:staticcheck
	ErrAllKeys    = errors.New("Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns")         //nolint:staticcheck
	ErrAllChans   = errors.New("Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels") //nolint:staticcheck
	ErrNoPassword = errors.New("The password you are trying to remove from the user does not exist")                                                                                                      //nolint:staticcheck
	ErrHash       = errors.New("The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters")                                                                       //nolint:staticcheck
	ErrDuplicate  = errors.New("Duplicate user found. A user can only be defined once in config files")                                                                                                   //nolint:staticcheck
)

// Access is what is done to a key.
type Access uint8

// The kinds of access. A key that is only named, as by TYPE or EXISTS, needs neither.
const (
	Read Access = 1 << iota
	Write
)

// selector is a set of rights. A command is granted if one selector of the user grants all of it.
type selector struct {
	allKeys, allChannels bool
	allCommands          bool             // nothing was ever taken from +@all
	future               bool             // grants commands that there are not yet
	commands             []bool           // by ID; nil: all are as those of the future
	firstArgs            map[int][]string // of commands that are not granted: those first arguments with which they are
	keys                 []keyPattern
	channels             []string
}

type keyPattern struct {
	pattern string
	access  Access
}

func (cs *Commands) newSelector() *selector {
	return &selector{allChannels: cs.AllChannels}
}

func (s *selector) clone() *selector {
	c := *s
	c.commands, c.keys, c.channels = slices.Clone(s.commands), slices.Clone(s.keys), slices.Clone(s.channels)
	c.firstArgs = nil
	for id, args := range s.firstArgs {
		c.addFirstArgs(id, args...)
	}
	return &c
}

// parseSelector makes a selector of the rules between parentheses.
func (cs *Commands) parseSelector(rules string) (*selector, error) {
	s := cs.newSelector()
	words, _ := resp.SplitArgs([]byte(rules))
	for _, w := range words {
		if err := s.apply(cs, string(w)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// apply obeys one rule about commands, keys or channels.
func (s *selector) apply(cs *Commands, rule string) error {
	switch low := strings.ToLower(rule); {
	case rule == "":
		return ErrSyntax
	case low == "allkeys", low == "~*":
		s.allKeys, s.keys = true, nil
	case low == "resetkeys":
		s.allKeys, s.keys = false, nil
	case low == "allchannels", low == "&*":
		s.allChannels, s.channels = true, nil
	case low == "resetchannels":
		s.allChannels, s.channels = false, nil
	case low == "allcommands", low == "+@all", low == "nocommands", low == "-@all":
		s.all(low[0] == 'a' || low[0] == '+')
	case rule[0] == '~', rule[0] == '%':
		return s.addKeys(rule)
	case rule[0] == '&':
		return s.addChannels(rule[1:])
	case strings.HasPrefix(rule, "+@"), strings.HasPrefix(rule, "-@"):
		return s.category(cs, low[2:], rule[0] == '+')
	case rule[0] == '+':
		return s.allow(cs, rule[1:])
	case rule[0] == '-':
		id := cs.find(rule[1:])
		if id < 0 {
			return ErrUnknown
		}
		s.setCommand(cs, id, false)
	default:
		return ErrSyntax
	}
	return nil
}

// hasSpaces reports whether a name or a pattern cannot be written in a line of a file.
func hasSpaces(s string) bool { return strings.ContainsAny(s, " \t\n\v\f\r\x00") }

// addKeys obeys ~pattern and %RW~pattern.
func (s *selector) addKeys(rule string) error {
	if s.allKeys {
		return ErrAllKeys
	}
	pattern, access := rule[1:], Read|Write
	if rule[0] == '%' {
		var ok bool
		if pattern, access, ok = parseAccess(rule[1:]); !ok {
			return ErrSyntax
		}
	}
	if hasSpaces(pattern) {
		return ErrSyntax
	}
	for i := range s.keys {
		if s.keys[i].pattern == pattern {
			s.keys[i].access |= access
			return nil
		}
	}
	s.keys = append(s.keys, keyPattern{pattern, access})
	return nil
}

// parseAccess takes "RW~pattern" apart.
func parseAccess(rule string) (pattern string, access Access, ok bool) {
	letters, pattern, found := strings.Cut(rule, "~")
	for _, letter := range strings.ToUpper(letters) {
		a := map[rune]Access{'R': Read, 'W': Write}[letter]
		if a == 0 || access&a != 0 {
			return "", 0, false
		}
		access |= a
	}
	return pattern, access, found && access != 0
}

func (s *selector) addChannels(pattern string) error {
	switch {
	case s.allChannels:
		return ErrAllChans
	case hasSpaces(pattern):
		return ErrSyntax
	case !slices.Contains(s.channels, pattern):
		s.channels = append(s.channels, pattern)
	}
	return nil
}

// all grants or takes all commands.
func (s *selector) all(on bool) { s.allCommands, s.future, s.commands, s.firstArgs = on, on, nil, nil }

func (s *selector) has(id int) bool {
	if s.commands == nil {
		return s.future
	}
	return s.commands[id]
}

// setCommand grants or takes a command, with all that is below it.
func (s *selector) setCommand(cs *Commands, id int, on bool) {
	s.allCommands = s.allCommands && on
	if s.commands == nil {
		s.commands = slices.Repeat([]bool{s.future}, len(cs.list()))
	}
	s.commands[id] = on
	delete(s.firstArgs, id)
	for _, sub := range cs.list()[id].subs {
		s.commands[sub] = on
	}
}

func (s *selector) category(cs *Commands, name string, on bool) error {
	if !slices.Contains(Categories, name) {
		return ErrUnknown
	}
	for id := range cs.list() {
		if slices.Contains(cs.list()[id].Categories, name) {
			s.setCommand(cs, id, on)
		}
	}
	return nil
}

// allow obeys +command, +container|subcommand and +command|argument.
func (s *selector) allow(cs *Commands, name string) error {
	at := strings.LastIndexByte(name, '|')
	id := cs.find(name)
	if at < 0 {
		if id < 0 {
			return ErrUnknown
		}
		s.setCommand(cs, id, true)
		return nil
	}
	command := cs.find(name[:at])
	switch {
	case command < 0:
		return ErrUnknown
	case cs.list()[command].parent >= 0:
		return ErrFirstArg
	case at == len(name)-1:
		return ErrSyntax
	case cs.list()[command].subs == nil:
		s.addFirstArgs(command, name[at+1:])
	case id < 0:
		return ErrUnknown
	default:
		s.setCommand(cs, id, true)
	}
	return nil
}

// addFirstArgs grants a command with these first arguments.
func (s *selector) addFirstArgs(id int, args ...string) {
	if s.firstArgs == nil {
		s.firstArgs = map[int][]string{}
	}
	for _, arg := range args {
		known := func(a string) bool { return strings.EqualFold(a, arg) }
		if !slices.ContainsFunc(s.firstArgs[id], known) {
			s.firstArgs[id] = append(s.firstArgs[id], arg)
		}
	}
}
