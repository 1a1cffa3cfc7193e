package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"byor/pkg/engine"
)

// rename-command gives a command another name, or none. A client then knows it by that name only. What
// the server itself writes to the log and to replicas has the old names (a DEL for an expired key), so a
// log and a link are understood in both: a Redis loses such commands.

// renameCommand obeys one line. It takes the names that the lines before gave.
func (c *Config) renameCommand(from, to string) error {
	if c.commands == nil {
		c.commands = engine.Table()
	}
	from, to = strings.ToLower(from), strings.ToLower(to)
	cmd := c.commands[from]
	if cmd == nil {
		return errors.New("No such command in rename-command") //nolint:staticcheck // Redis's words
	}
	delete(c.commands, from)
	if to == "" {
		return nil
	}
	if c.commands[to] != nil {
		return errors.New("Target command name already exists") //nolint:staticcheck // Redis's words
	}
	if len(to) > engine.MaxNameLen {
		return fmt.Errorf("the name of a command has at most %d letters", engine.MaxNameLen)
	}
	c.commands[to] = cmd
	return nil
}

// Tables returns the commands of a server by their names, and all by the names they were born with, or
// nil where those are the same.
func (c *Config) Tables() (named, born map[string]*engine.Command) {
	born = engine.Table()
	if c.commands == nil {
		return born, nil
	}
	return engine.Renamed(born, c.commands), born
}

// BornName returns the name that a command had before rename-command, in lower case. It is for who
// judges commands by their names before the server sees them.
func (c *Config) BornName(name string) string {
	name = strings.ToLower(name)
	if cmd := c.commands[name]; cmd != nil {
		return cmd.Name
	}
	return name
}

// userLine is what a line "user default …" says of the password. CONFIG REWRITE of a real Redis writes
// one, so a file from there has it.
type userLine struct {
	given, noPass bool
	hash          string // of the password, in hexadecimal
}

// addUser obeys a line about a user. There is one here, default, who may do everything.
func (c *Config) addUser(name string, rules []string) error {
	if name != "default" {
		return errors.New("this server has no user but 'default'")
	}
	u := userLine{given: true}
	on, keys, channels, commands := false, false, false, false
	for _, rule := range rules {
		low := strings.ToLower(rule)
		switch {
		case low == "on", low == "off":
			on = low == "on"
		case low == "nopass":
			u = userLine{given: true, noPass: true}
		case strings.HasPrefix(rule, ">"):
			u.noPass, u.hash = false, passwordHash(rule[1:])
			c.RequirePass = rule[1:]
		case strings.HasPrefix(rule, "#") && len(rule) == 65:
			u.noPass, u.hash = false, low[1:]
		case rule == "~*", low == "allkeys":
			keys = true
		case rule == "&*", low == "allchannels":
			channels = true
		case low == "+@all", low == "allcommands":
			commands = true
		case low == "sanitize-payload", low == "skip-sanitize-payload":
		default:
			return fmt.Errorf("Error in user declaration '%s': Syntax error", rule) //nolint:staticcheck // Redis's words
		}
	}
	if !on || !keys || !channels || !commands || !u.noPass && u.hash == "" {
		return errors.New("the user 'default' of this server may do everything: on, nopass or a password, ~* &* +@all")
	}
	c.user = u
	return nil
}

// applyUser settles the password by the user's line, which is stronger than requirepass.
func (c *Config) applyUser() error {
	switch {
	case !c.user.given:
	case c.user.noPass:
		c.RequirePass = ""
	case passwordHash(c.RequirePass) != c.user.hash:
		return errors.New("the password of the user 'default' is not that of requirepass, and cannot be known by its hash alone")
	}
	return nil
}

func passwordHash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}
