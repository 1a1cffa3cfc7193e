package server

import (
	"bytes"
	"slices"
	"strings"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/pubsub"
)

func init() {
	const f = engine.Admin | engine.NoScript | engine.Loading | engine.Stale
	engine.Register("server", []engine.Command{
		{Name: "config", Arity: -2, Sub: []*engine.Command{
			{Name: "get", Arity: -3, Flags: f, Handler: by(cmdConfigGet)},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: by(cmdConfigHelp)},
			{Name: "resetstat", Arity: 2, Flags: f, Handler: by(cmdConfigResetstat)},
			{Name: "rewrite", Arity: 2, Flags: f, Handler: by(cmdConfigRewrite)},
			{Name: "set", Arity: -4, Flags: f, Handler: by(cmdConfigSet)},
		}},
	})
}

// cmdConfigGet replies the parameters that any of the patterns names, each once. One that is asked
// for by its plain name first is called as it was asked for.
func cmdConfigGet(c *client) {
	var names []string
	add := func(name string) {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	for _, pattern := range c.Args[2:] {
		if !bytes.ContainsAny(pattern, "[*?") {
			if config.Find(strings.ToLower(string(pattern))) != nil {
				add(string(pattern))
			}
			continue
		}
		for _, p := range config.Params() {
			for _, name := range []string{p.Name, p.Alias} {
				if name != "" && pubsub.MatchFold(pattern, name) {
					add(name)
				}
			}
		}
	}
	c.Reply.Map(len(names))
	for _, name := range names {
		c.Reply.BulkString(name)
		c.Reply.BulkString(config.Find(strings.ToLower(name)).Get(c.s.cfg))
	}
}

// cmdConfigSet sets all of the given parameters or none.
func cmdConfigSet(c *client) {
	if len(c.Args)%2 != 0 {
		c.Fail(engine.ErrSyntax)
		return
	}
	set, refused := c.paramsToSet()
	if refused != "" {
		c.Fail(refused)
		return
	}
	s := c.s
	before := s.cfg.Clone()
	for i, p := range set {
		if err := p.Set(s.cfg, string(c.Args[2*i+3])); err != nil {
			*s.cfg = before
			c.Fail(configSetFailed(strings.ToLower(string(c.Args[2*i+2])), err.Error()))
			return
		}
	}
	if err := s.configChanged(&before, set); err != nil {
		*s.cfg = before
		s.applyConfig()
		about := "appendonly"
		if f, ok := err.(configFailure); ok {
			about = f.param
		}
		c.Fail(configSetFailed(about, err.Error()))
		return
	}
	c.Reply.OK()
}

func configSetFailed(about, reason string) string {
	return "ERR CONFIG SET failed (possibly related to argument '" + about + "') - " + reason
}

// paramsToSet looks up what CONFIG SET names, before any value is looked at, or says which of them cannot be
// set. It hides the secrets of all of them.
func (c *client) paramsToSet() (set []*config.Param, refused string) {
	var names []string // as they were used: an alias is not its parameter, as in Redis
	for i := 2; i < len(c.Args); i += 2 {
		name := strings.ToLower(string(c.Args[i]))
		p := config.Find(name)
		if p != nil && p.Secret() {
			c.Hide(i + 1)
		}
		if refused == "" {
			refused = c.refusesToSet(p, string(c.Args[i]), slices.Contains(names, name))
		}
		set, names = append(set, p), append(names, name)
	}
	return set, refused
}

func (c *client) refusesToSet(p *config.Param, name string, again bool) string {
	switch {
	case p == nil:
		return "ERR Unknown option or number of arguments for CONFIG SET - '" + name + "'"
	case p.Immutable:
		return configSetFailed(name, "can't set immutable config")
	case p.Protected && !c.may(c.s.cfg.EnableProtectedConfigs):
		return configSetFailed(name, "can't set protected config")
	case p.Settled && c.s.eng.Loading:
		return engine.ErrLoading
	case again:
		return configSetFailed(name, "duplicate parameter")
	}
	return ""
}

// configChanged carries changes that CONFIG SET made, of the parameters that it names, to where they take effect.
func (s *Server) configChanged(before *config.Config, set []*config.Param) error {
	if err := s.fewDescriptors(before); err != nil {
		return err
	}
	inUse := s.certs.Bundle()
	if err := s.certsChanged(set); err != nil {
		return err
	}
	err := s.moveListeners(before)
	if err == nil {
		if err = s.files.ConfigChanged(before); err != nil {
			s.moveBack(before, s.doors[:])
		}
	}
	if err != nil {
		s.certs.Use(inUse)
		return err
	}
	s.applyConfig()
	if s.cfg.RequirePass != before.RequirePass {
		s.users.PasswordChanged()
	}
	s.replicationConfigChanged(before)
	return nil
}

func cmdConfigResetstat(c *client) {
	s := c.s
	s.resetStats()
	s.files.ResetStats()
	for _, cmd := range s.eng.Commands {
		cmd.Stats = engine.CommandStats{}
		for _, sub := range cmd.Sub {
			sub.Stats = engine.CommandStats{}
		}
	}
	c.Reply.OK()
}

// cmdConfigRewrite writes the parameters that differ from the defaults into the file that the
// server was started with. Comments, order and lines it does not know stay.
func cmdConfigRewrite(c *client) {
	path := c.s.cfg.File
	if path == "" {
		c.Fail("ERR The server is running without a config file")
		return
	}
	if err := c.s.cfg.Rewrite(path, c.s.users.Lines()); err != nil {
		c.Fail("ERR Rewriting config file: " + config.ErrnoText(err))
		return
	}
	c.Reply.OK()
}

func cmdConfigHelp(c *client) {
	c.Help(
		"GET <pattern>", "    Return parameters matching the glob-like <pattern> and their values.",
		"SET <directive> <value>", "    Set the configuration <directive> to <value>.",
		"RESETSTAT", "    Reset statistics reported by the INFO command.",
		"REWRITE", "    Rewrite the configuration file.",
	)
}

// Password returns the password that clients need now (requirepass), "" for none. It is for what
// stands beside the server in the same process and speaks to it as a client.
func (s *Server) Password() string {
	s.eng.Enter()
	defer s.eng.Unlock()
	return s.cfg.RequirePass
}
