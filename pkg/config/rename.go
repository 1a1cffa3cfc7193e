package config

import (
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
