package server

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"byor/pkg/engine"
	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

func init() {
	const f = engine.Loading | engine.Stale
	engine.Register("server", []engine.Command{
		{Name: "command", Arity: -1, Flags: f, Handler: by(cmdCommand), Sub: []*engine.Command{
			{Name: "count", Arity: 2, Flags: f, Handler: by(cmdCommandCount)},
			{Name: "docs", Arity: -2, Flags: f, Handler: by(cmdCommandDocs)},
			{Name: "getkeys", Arity: -4, Flags: f, Handler: by(cmdCommandGetkeys)},
			{Name: "getkeysandflags", Arity: -4, Flags: f, Handler: by(cmdCommandGetkeys)},
			{Name: "help", Arity: 2, Flags: f, Handler: by(cmdCommandHelp)},
			{Name: "info", Arity: -2, Flags: f, Handler: by(cmdCommandInfo)},
			{Name: "list", Arity: -2, Flags: f, Handler: by(cmdCommandList)},
		}},
	})
}

// factsJSON holds what COMMAND tells of the commands beyond the table: since when there is one, its
// arguments, its ACL categories and key specifications, as Redis 7.0 replies them.
//
//go:embed commands.json
var factsJSON []byte

// summaryText holds a line a command: its name and what it does.
//
//go:embed summaries.txt
var summaryText string

type commandFacts struct {
	Summary         string          `json:"-"`
	Since           string          `json:"since"`
	Group           string          `json:"group"`
	DocFlags        []string        `json:"doc_flags"`
	DeprecatedSince string          `json:"deprecated_since"`
	ReplacedBy      string          `json:"replaced_by"`
	Arguments       []argumentFacts `json:"arguments"`
	Categories      []string        `json:"categories"`
	Tips            []string        `json:"tips"`
	KeySpecs        []keySpec       `json:"key_specs"`
}

type argumentFacts struct {
	Name            string          `json:"name"`
	Type            string          `json:"type"`
	KeySpecIndex    *int64          `json:"key_spec_index"`
	Token           *string         `json:"token"`
	Since           string          `json:"since"`
	DeprecatedSince string          `json:"deprecated_since"`
	Flags           []string        `json:"flags"`
	Arguments       []argumentFacts `json:"arguments"`
}

type keySpec struct {
	Notes       string   `json:"notes"`
	Flags       []string `json:"flags"`
	BeginSearch specPart `json:"begin_search"`
	FindKeys    specPart `json:"find_keys"`
}

type specPart struct {
	Type string                     `json:"type"`
	Spec map[string]json.RawMessage `json:"spec"`
}

var loadFacts = sync.OnceValue(func() map[string]*commandFacts {
	facts := map[string]*commandFacts{}
	if err := json.Unmarshal(factsJSON, &facts); err != nil {
		panic("server: commands.json: " + err.Error())
	}
	for line := range strings.Lines(summaryText) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if f := facts[name]; f != nil {
			f.Summary = strings.TrimSpace(text)
		}
	}
	return facts
})

// factsOf returns what is known of the command; never nil.
func factsOf(cmd *engine.Command) *commandFacts {
	if f := loadFacts()[cmd.FullName()]; f != nil {
		return f
	}
	return &commandFacts{Group: cmd.Group}
}

func (s *Server) sortedCommands() []*engine.Command {
	cmds := make([]*engine.Command, 0, len(s.eng.Commands))
	for _, name := range sortedKeys(s.eng.Commands) {
		cmds = append(cmds, s.eng.Commands[name])
	}
	return cmds
}

func cmdCommand(c *client) {
	cmds := c.s.sortedCommands()
	c.Reply.Array(len(cmds))
	for _, cmd := range cmds {
		c.commandInfo(cmd)
	}
}

func cmdCommandCount(c *client) { c.Reply.Int(int64(len(c.s.eng.Commands))) }

// named finds the command or subcommand ("config|get") that a name means.
func (s *Server) named(name []byte) *engine.Command {
	parent, sub, has := strings.Cut(string(name), "|")
	cmd := engine.Find(s.eng.Commands, []byte(parent))
	if !has || cmd == nil {
		return cmd
	}
	for _, sc := range cmd.Sub {
		if engine.EqualFold([]byte(sub), sc.Name) {
			return sc
		}
	}
	return nil
}

func cmdCommandInfo(c *client) {
	if len(c.Args) == 2 {
		cmdCommand(c)
		return
	}
	c.Reply.Array(len(c.Args) - 2)
	for _, name := range c.Args[2:] {
		if cmd := c.s.named(name); cmd != nil {
			c.commandInfo(cmd)
		} else {
			c.Reply.Null()
		}
	}
}

func (c *client) commandInfo(cmd *engine.Command) {
	f := factsOf(cmd)
	keys := cmd.Keys
	c.Reply.Array(10)
	c.Reply.BulkString(cmd.FullName())
	c.Reply.Int(int64(cmd.Arity))
	c.simpleStrings(cmd.FlagList())
	c.Reply.Int(int64(keys.First))
	c.Reply.Int(int64(keys.Last))
	c.Reply.Int(int64(keys.Step))
	c.simpleStrings(f.Categories)
	c.Reply.Array(len(f.Tips))
	for _, t := range f.Tips {
		c.Reply.BulkString(t)
	}
	c.Reply.Array(len(f.KeySpecs))
	for _, ks := range f.KeySpecs {
		c.keySpec(ks)
	}
	c.Reply.Array(len(cmd.Sub))
	for _, sub := range cmd.Sub {
		c.commandInfo(sub)
	}
}

func (c *client) simpleStrings(words []string) {
	c.Reply.Set(len(words))
	for _, w := range words {
		c.Reply.SimpleString(w)
	}
}

func (c *client) keySpec(ks keySpec) {
	if ks.Notes == "" {
		c.Reply.Map(3)
	} else {
		c.Reply.Map(4)
		c.Reply.BulkString("notes")
		c.Reply.BulkString(ks.Notes)
	}
	c.Reply.BulkString("flags")
	c.simpleStrings(ks.Flags)
	c.Reply.BulkString("begin_search")
	c.specPart(ks.BeginSearch, "index", "keyword", "startfrom")
	c.Reply.BulkString("find_keys")
	c.specPart(ks.FindKeys, "lastkey", "keystep", "limit", "keynumidx", "firstkey")
}

// specPart replies one half of a key specification, its fields in Redis's order.
func (c *client) specPart(p specPart, order ...string) {
	c.Reply.Map(2)
	c.Reply.BulkString("type")
	c.Reply.BulkString(p.Type)
	c.Reply.BulkString("spec")
	c.Reply.Map(len(p.Spec))
	if p.Type == "keynum" {
		order = []string{"keynumidx", "firstkey", "keystep"}
	}
	for _, name := range order {
		raw, ok := p.Spec[name]
		if !ok {
			continue
		}
		c.Reply.BulkString(name)
		var n int64
		var s string
		if json.Unmarshal(raw, &n) == nil {
			c.Reply.Int(n)
		} else if json.Unmarshal(raw, &s) == nil {
			c.Reply.BulkString(s)
		}
	}
}

func cmdCommandDocs(c *client) {
	cmds := c.s.sortedCommands()
	if len(c.Args) > 2 {
		cmds = nil
		for _, name := range c.Args[2:] {
			if cmd := c.s.named(name); cmd != nil {
				cmds = append(cmds, cmd)
			}
		}
	}
	c.Reply.Map(len(cmds))
	for _, cmd := range cmds {
		c.Reply.BulkString(cmd.FullName())
		c.commandDocs(cmd)
	}
}

// optionalMap writes the pairs that have something to say as a map.
type pair struct {
	name  string
	write func()
}

func (c *client) pairs(ps []pair) {
	c.Reply.Map(len(ps))
	for _, p := range ps {
		c.Reply.BulkString(p.name)
		p.write()
	}
}

func (c *client) text(name, v string) pair { return pair{name, func() { c.Reply.BulkString(v) }} }

func (c *client) commandDocs(cmd *engine.Command) {
	f := factsOf(cmd)
	ps := []pair{c.text("summary", f.Summary), c.text("since", f.Since), c.text("group", f.Group)}
	if len(f.DocFlags) > 0 {
		ps = append(ps, pair{"doc_flags", func() { c.simpleStrings(f.DocFlags) }})
	}
	if f.DeprecatedSince != "" {
		ps = append(ps, c.text("deprecated_since", f.DeprecatedSince))
	}
	if f.ReplacedBy != "" {
		ps = append(ps, c.text("replaced_by", f.ReplacedBy))
	}
	if len(f.Arguments) > 0 {
		ps = append(ps, pair{"arguments", func() { c.argumentDocs(f.Arguments) }})
	}
	if len(cmd.Sub) > 0 {
		ps = append(ps, pair{"subcommands", func() {
			c.Reply.Map(len(cmd.Sub))
			for _, sub := range cmd.Sub {
				c.Reply.BulkString(sub.FullName())
				c.commandDocs(sub)
			}
		}})
	}
	c.pairs(ps)
}

func (c *client) argumentDocs(args []argumentFacts) {
	c.Reply.Array(len(args))
	for _, a := range args {
		ps := []pair{c.text("name", a.Name), c.text("type", a.Type)}
		if a.KeySpecIndex != nil {
			ps = append(ps, pair{"key_spec_index", func() { c.Reply.Int(*a.KeySpecIndex) }})
		}
		if a.Token != nil {
			ps = append(ps, c.text("token", *a.Token))
		}
		if a.Since != "" {
			ps = append(ps, c.text("since", a.Since))
		}
		if a.DeprecatedSince != "" {
			ps = append(ps, c.text("deprecated_since", a.DeprecatedSince))
		}
		if len(a.Flags) > 0 {
			ps = append(ps, pair{"flags", func() { c.simpleStrings(a.Flags) }})
		}
		if len(a.Arguments) > 0 {
			ps = append(ps, pair{"arguments", func() { c.argumentDocs(a.Arguments) }})
		}
		c.pairs(ps)
	}
}

func cmdCommandList(c *client) {
	keep := func(*engine.Command) bool { return true }
	switch n := len(c.Args); {
	case n == 2:
	case n == 5 && c.Is(2, "filterby") && c.Is(3, "module"):
		keep = func(*engine.Command) bool { return false }
	case n == 5 && c.Is(2, "filterby") && c.Is(3, "aclcat"):
		cat := "@" + strings.ToLower(string(c.Args[4]))
		keep = func(cmd *engine.Command) bool { return slices.Contains(factsOf(cmd).Categories, cat) }
	case n == 5 && c.Is(2, "filterby") && c.Is(3, "pattern"):
		keep = func(cmd *engine.Command) bool { return pubsub.MatchFold(c.Args[4], cmd.FullName()) }
	default:
		c.Fail(engine.ErrSyntax)
		return
	}
	w := resp.Writer{Proto: c.Reply.Proto}
	n := 0
	var list func(cmds []*engine.Command)
	list = func(cmds []*engine.Command) {
		for _, cmd := range cmds {
			if keep(cmd) {
				w.BulkString(cmd.FullName())
				n++
			}
			list(cmd.Sub)
		}
	}
	list(c.s.sortedCommands())
	c.Reply.Set(n)
	c.Reply.Raw(w.Buf)
}

func cmdCommandHelp(c *client) {
	c.Help(
		"(no subcommand)", "    Return details about all Redis commands.",
		"COUNT", "    Return the total number of commands in this Redis server.",
		"LIST", "    Return a list of all commands in this Redis server.",
		"INFO [<command-name> ...]", "    Return details about multiple Redis commands.", "    If no command names are given, documentation details for all", "    commands are returned.",
		"DOCS [<command-name> ...]", "    Return documentation details about multiple Redis commands.", "    If no command names are given, documentation details for all", "    commands are returned.",
		"GETKEYS <full-command>", "    Return the keys from a full Redis command.",
		"GETKEYSANDFLAGS <full-command>", "    Return the keys and the access flags from a full Redis command.",
	)
}
