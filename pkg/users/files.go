package users

import (
	"errors"
	"fmt"
	"os"

	"byor/pkg/acl"
	"byor/pkg/config"
	"byor/pkg/engine"
)

// Users in files: lines of redis.conf, or a file of their own (aclfile), but not both.

// load makes the users that stand in the configuration or in the ACL file at start.
func (a *Accounts) load() error {
	if a.cfg.ACLFile == "" {
		return a.configuredUsers()
	}
	if len(a.cfg.Users) > 0 {
		return errors.New("Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. This setup is very likely to lead to configuration errors and security holes, please define either an ACL file or declare users directly in your redis.conf, but not both.") //nolint:staticcheck // Redis's words
	}
	if _, err := a.loadFile(); err != nil {
		return fmt.Errorf("Aborting Redis startup because of ACL errors: %w", err) //nolint:staticcheck // Redis's words
	}
	return nil
}

func (a *Accounts) configuredUsers() error {
	for _, line := range a.cfg.Users {
		if !acl.ValidName(line.Name) {
			return errors.New("Spaces not allowed in ACL usernames") //nolint:staticcheck // Redis's words
		}
		u := a.Commands().NewUser(line.Name)
		if line.Name == acl.DefaultName {
			u = a.Default()
			mustApply(u, "reset")
		}
		for _, rule := range line.Rules {
			if err := u.Apply(rule); err != nil {
				return fmt.Errorf("Error loading ACL rule '%s' for the user named '%s': %w", rule, line.Name, err) //nolint:staticcheck // Redis's words
			}
		}
		if !u.Enabled() {
			a.host.Notice("The user '%s' is disabled (there is no 'on' modifier in the user description). Make sure this is not a configuration error.", line.Name)
		}
		a.Add(u)
	}
	return nil
}

// loadFile makes the users of the ACL file all there are, and returns those that were there before.
func (a *Accounts) loadFile() ([]*acl.User, error) {
	text, err := os.ReadFile(a.cfg.InDir(a.cfg.ACLFile))
	if err != nil {
		return nil, fmt.Errorf("Error loading ACLs, opening file '%s': %s", a.cfg.ACLFile, config.ErrnoText(err)) //nolint:staticcheck // Redis's words
	}
	return a.Load(a.cfg.ACLFile, string(text))
}

// saveFile writes all users into the ACL file.
func (a *Accounts) saveFile() error {
	return config.WriteFile(a.cfg.InDir(a.cfg.ACLFile), a.Text())
}

// Lines returns the lines of all users as they stand in a file.
func (a *Accounts) Lines() (lines []string) {
	for _, u := range a.Sorted() {
		lines = append(lines, u.Line())
	}
	return lines
}

// hasFile replies an error where there is no ACL file.
func (a *Accounts) hasFile(c *engine.Call) bool {
	if a.cfg.ACLFile == "" {
		c.Fail("ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.")
		return false
	}
	return true
}

func cmdACLLoad(a *Accounts, c *engine.Call) {
	if !a.hasFile(c) {
		return
	}
	gone, err := a.loadFile()
	if err != nil {
		c.Fail("ERR " + err.Error())
		return
	}
	a.dismiss(gone...)
	a.changed()
	c.Reply.OK()
}

func cmdACLSave(a *Accounts, c *engine.Call) {
	if !a.hasFile(c) {
		return
	}
	if err := a.saveFile(); err != nil {
		a.host.Warn("Saving the ACL file: %s", config.ErrnoText(err))
		c.Fail("ERR There was an error trying to save the ACLs. Please check the server logs for more information")
		return
	}
	c.Reply.OK()
}
