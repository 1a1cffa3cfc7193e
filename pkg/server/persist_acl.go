package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"byor/pkg/acl"
	"byor/pkg/config"
)

// Users in files: lines of redis.conf, or a file of their own (aclfile), but not both.

// loadUsers makes the users that stand in the configuration or in the ACL file at start.
func (s *Server) loadUsers() error {
	if s.cfg.ACLFile == "" {
		return s.configuredUsers()
	}
	if len(s.cfg.Users) > 0 {
		return errors.New("Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. This setup is very likely to lead to configuration errors and security holes, please define either an ACL file or declare users directly in your redis.conf, but not both.") //nolint:staticcheck // Redis's words
	}
	if _, err := s.loadACLFile(); err != nil {
		return fmt.Errorf("Aborting Redis startup because of ACL errors: %w", err) //nolint:staticcheck // Redis's words
	}
	return nil
}

func (s *Server) configuredUsers() error {
	for _, line := range s.cfg.Users {
		if !acl.ValidName(line.Name) {
			return errors.New("Spaces not allowed in ACL usernames") //nolint:staticcheck // Redis's words
		}
		u := s.users.Commands().NewUser(line.Name)
		if line.Name == acl.DefaultName {
			u = s.users.Default()
			s.mustApply(u, "reset")
		}
		for _, rule := range line.Rules {
			if err := u.Apply(rule); err != nil {
				return fmt.Errorf("Error loading ACL rule '%s' for the user named '%s': %w", rule, line.Name, err) //nolint:staticcheck // Redis's words
			}
		}
		if !u.Enabled() {
			s.logf(levelNotice, "The user '%s' is disabled (there is no 'on' modifier in the user description). Make sure this is not a configuration error.", line.Name)
		}
		s.users.Add(u)
	}
	return nil
}

// loadACLFile makes the users of the ACL file all there are, and returns those that were there before.
func (s *Server) loadACLFile() ([]*acl.User, error) {
	text, err := os.ReadFile(s.cfg.InDir(s.cfg.ACLFile))
	if err != nil {
		return nil, fmt.Errorf("Error loading ACLs, opening file '%s': %s", s.cfg.ACLFile, config.ErrnoText(err)) //nolint:staticcheck // Redis's words
	}
	return s.users.Load(s.cfg.ACLFile, string(text))
}

// saveACLFile writes all users into the ACL file. It is there whole or not at all, whatever happens.
func (s *Server) saveACLFile() error {
	path := s.cfg.InDir(s.cfg.ACLFile)
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // it has another name by then, if all went well
	_, err = tmp.WriteString(s.users.Text())
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	return err
}

// hasACLFile replies an error where there is no ACL file.
func (c *client) hasACLFile() bool {
	if c.s.cfg.ACLFile == "" {
		c.Fail("ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.")
		return false
	}
	return true
}

func cmdACLLoad(c *client) {
	if !c.hasACLFile() {
		return
	}
	gone, err := c.s.loadACLFile()
	if err != nil {
		c.Fail("ERR " + err.Error())
		return
	}
	c.s.dismiss(gone...)
	c.s.usersChanged()
	c.Reply.OK()
}

func cmdACLSave(c *client) {
	if !c.hasACLFile() {
		return
	}
	if err := c.s.saveACLFile(); err != nil {
		c.s.logf(levelWarning, "Saving the ACL file: %s", config.ErrnoText(err))
		c.Fail("ERR There was an error trying to save the ACLs. Please check the server logs for more information")
		return
	}
	c.Reply.OK()
}
