package config

import (
	"errors"
	"fmt"
	"slices"

	"byor/pkg/acl"
)

// UserLine is a line "user NAME RULE…". What the rules make is for the server, which knows the commands.
type UserLine struct {
	Name  string
	Rules []string
}

// noCommands lets rules be tried without knowing any command.
var noCommands = acl.NewCommands(func() []acl.Command { return nil })

// addUser keeps a line about a user, if its rules can be right.
func (c *Config) addUser(name string, words []string) error {
	wrong := func(word string, err error) error {
		return fmt.Errorf("Error in user declaration '%s': %w", word, err) //nolint:staticcheck // Redis's words
	}
	if slices.ContainsFunc(c.Users, func(u UserLine) bool { return u.Name == name }) {
		return wrong(name, acl.ErrDuplicate)
	}
	rules, err := acl.Merge(words)
	if err != nil {
		return wrong(name, err)
	}
	u := noCommands.NewUser(name)
	for _, rule := range rules {
		if err := u.Apply(rule); err != nil && !errors.Is(err, acl.ErrUnknown) {
			return wrong(rule, err)
		}
	}
	c.Users = append(c.Users, UserLine{name, rules})
	return nil
}
