package acl

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// User is a name with the passwords that it has and the rights that it gives.
type User struct {
	Name string

	cmds      *Commands
	enabled   bool
	noPass    bool
	sanitize  sanitizing
	passwords []string    // SHA-256, in hexadecimal
	selectors []*selector // the first is the user's own, the others are those in parentheses
	asksKeys  bool        // a selector does not grant all keys
}

// sanitizing is what a user's rules say of the payloads that RESTORE is given. Here all are checked; it is
// kept to be shown.
type sanitizing uint8

const (
	sanitizeUnsaid sanitizing = iota
	sanitizeSkip
	sanitizeAlways
)

// NewUser returns a user who is off and may do nothing.
func (cs *Commands) NewUser(name string) *User {
	return &User{Name: name, cmds: cs, selectors: []*selector{cs.newSelector()}, asksKeys: true}
}

// NewDefault returns the user who is on, needs no password and may do everything: who connects begins as default.
func (cs *Commands) NewDefault() *User {
	u := cs.NewUser(DefaultName)
	for _, rule := range []string{"+@all", "~*", "&*", "on", "nopass"} {
		if err := u.Apply(rule); err != nil {
			panic("acl: the default user: " + err.Error())
		}
	}
	return u
}

// DefaultName is the user of all who have not logged in.
const DefaultName = "default"

// Become gives the user the passwords and rights of another, but not the name.
func (u *User) Become(other *User) {
	name := u.Name
	*u = *other
	u.Name = name
	u.passwords = slices.Clone(other.passwords)
	u.selectors = make([]*selector, len(other.selectors))
	for i, s := range other.selectors {
		u.selectors[i] = s.clone()
	}
}

// ValidName reports whether a user may be called so.
func ValidName(name string) bool { return !hasSpaces(name) }

// Apply obeys one rule.
func (u *User) Apply(rule string) (err error) {
	if rule == "" {
		return nil
	}
	switch low := strings.ToLower(rule); {
	case low == "on", low == "off":
		u.enabled = low == "on"
	case low == "nopass", low == "resetpass":
		u.noPass, u.passwords = low == "nopass", nil
	case low == "skip-sanitize-payload":
		u.sanitize = sanitizeSkip
	case low == "sanitize-payload":
		u.sanitize = sanitizeAlways
	case strings.ContainsRune("><#!", rune(rule[0])):
		return u.password(rule)
	case rule[0] == '(' && rule[len(rule)-1] == ')':
		var s *selector
		if s, err = u.cmds.parseSelector(rule[1 : len(rule)-1]); err == nil {
			u.selectors = append(u.selectors, s)
		}
	case low == "clearselectors":
		u.selectors = u.selectors[:1]
	case low == "reset":
		fresh := u.cmds.NewUser(u.Name)
		fresh.sanitize = sanitizeAlways
		*u = *fresh
	default:
		err = u.selectors[0].apply(u.cmds, rule)
	}
	u.asksKeys = slices.ContainsFunc(u.selectors, func(s *selector) bool { return !s.allKeys })
	return err
}

// password obeys >password, <password, #hash and !hash.
func (u *User) password(rule string) error {
	hash := rule[1:]
	if rule[0] == '>' || rule[0] == '<' {
		hash = Hash(hash)
	} else if len(hash) != 2*sha256.Size || strings.Trim(hash, "0123456789abcdef") != "" {
		return ErrHash
	}
	at := slices.Index(u.passwords, hash)
	if rule[0] == '<' || rule[0] == '!' {
		if at < 0 {
			return ErrNoPassword
		}
		u.passwords = slices.Delete(u.passwords, at, at+1)
		return nil
	}
	u.noPass = false
	if at < 0 {
		u.passwords = append(u.passwords, hash)
	}
	return nil
}

// Hash returns the form in which a password is kept.
func Hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// RuleError is a rule that cannot be obeyed.
type RuleError struct {
	Rule string
	Err  error
}

func (e *RuleError) Error() string { return e.Err.Error() }
func (e *RuleError) Unwrap() error { return e.Err }

// OpenError is a selector that is not closed.
type OpenError struct{ Rule string }

func (e *OpenError) Error() string {
	return fmt.Sprintf("Unmatched parenthesis in acl selector starting at '%s'.", e.Rule)
}

// Set obeys rules, all of them or none. What is between parentheses may be spread over several.
func (u *User) Set(rules []string) error {
	rules, err := Merge(rules)
	if err != nil {
		return err
	}
	tried := &User{}
	tried.Become(u)
	for _, rule := range rules {
		if err := tried.Apply(rule); err != nil {
			return &RuleError{rule, err}
		}
	}
	u.Become(tried)
	return nil
}

// Merge makes one rule of all that is between parentheses. The error is an OpenError.
func Merge(rules []string) ([]string, error) {
	var merged []string
	open := -1 // where the selector began that is not closed yet
	for i, r := range rules {
		switch ends := strings.HasSuffix(r, ")"); {
		case open >= 0 && ends:
			merged, open = append(merged, strings.Join(rules[open:i+1], " ")), -1
		case open >= 0:
		case strings.HasPrefix(r, "(") && !ends:
			open = i
		default:
			merged = append(merged, r)
		}
	}
	if open >= 0 {
		return nil, &OpenError{rules[open]}
	}
	return merged, nil
}

// Admits reports whether the user may log in with the password. It takes as long whatever is wrong with it.
func (u *User) Admits(password []byte) bool {
	if !u.enabled {
		return false
	}
	if u.noPass {
		return true
	}
	given, right := []byte(Hash(string(password))), 0
	for _, p := range u.passwords {
		right |= subtle.ConstantTimeCompare([]byte(p), given)
	}
	return right == 1
}

// NoPass reports whether the user needs no password.
func (u *User) NoPass() bool { return u.noPass }

// Enabled reports whether the user may log in at all.
func (u *User) Enabled() bool { return u.enabled }

// Unrestricted reports whether the user may do everything there is, now and in the future.
func (u *User) Unrestricted() bool {
	return slices.ContainsFunc(u.selectors, func(s *selector) bool { return s.allCommands && s.allKeys && s.allChannels })
}
