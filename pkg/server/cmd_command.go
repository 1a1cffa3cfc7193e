package server

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

func init() {
	const f = Loading | Stale
	register("server", []Command{
		{Name: "command", Arity: -1, Flags: f, Handler: cmdCommand, Sub: []*Command{
			{Name: "count", Arity: 2, Flags: f, Handler: cmdCommandCount},
			{Name: "docs", Arity: -2, Flags: f, Handler: cmdCommandDocs},
			{Name: "getkeys", Arity: -4, Flags: f, Handler: cmdCommandGetkeys},
			{Name: "getkeysandflags", Arity: -4, Flags: f, Handler: cmdCommandGetkeys},
			{Name: "help", Arity: 2, Flags: f, Handler: cmdCommandHelp},
			{Name: "info", Arity: -2, Flags: f, Handler: cmdCommandInfo},
			{Name: "list", Arity: -2, Flags: f, Handler: cmdCommandList},
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

// facts returns what is known of the command; never nil.
func (cmd *Command) facts() *commandFacts {
	if f := loadFacts()[cmd.full]; f != nil {
		return f
	}
	return &commandFacts{Group: cmd.Group}
}

func (s *Server) sortedCommands() []*Command {
	cmds := make([]*Command, 0, len(s.commands))
	for _, name := range sortedKeys(s.commands) {
		cmds = append(cmds, s.commands[name])
	}
	return cmds
}

func cmdCommand(c *Client) {
	cmds := c.s.sortedCommands()
	c.w.Array(len(cmds))
	for _, cmd := range cmds {
		c.commandInfo(cmd)
	}
}

func cmdCommandCount(c *Client) { c.w.Int(int64(len(c.s.commands))) }

// named finds the command or subcommand ("config|get") that a name means.
func (s *Server) named(name []byte) *Command {
	parent, sub, has := strings.Cut(string(name), "|")
	cmd := findCommand(s.commands, []byte(parent))
	if !has || cmd == nil {
		return cmd
	}
	for _, sc := range cmd.Sub {
		if equalFold([]byte(sub), sc.Name) {
			return sc
		}
	}
	return nil
}

func cmdCommandInfo(c *Client) {
	if len(c.args) == 2 {
		cmdCommand(c)
		return
	}
	c.w.Array(len(c.args) - 2)
	for _, name := range c.args[2:] {
		if cmd := c.s.named(name); cmd != nil {
			c.commandInfo(cmd)
		} else {
			c.w.Null()
		}
	}
}

func (c *Client) commandInfo(cmd *Command) {
	f := cmd.facts()
	keys := cmd.Keys
	c.w.Array(10)
	c.w.BulkString(cmd.full)
	c.w.Int(int64(cmd.Arity))
	c.simpleStrings(cmd.flagList())
	c.w.Int(int64(keys.First))
	c.w.Int(int64(keys.Last))
	c.w.Int(int64(keys.Step))
	c.simpleStrings(f.Categories)
	c.w.Array(len(f.Tips))
	for _, t := range f.Tips {
		c.w.BulkString(t)
	}
	c.w.Array(len(f.KeySpecs))
	for _, ks := range f.KeySpecs {
		c.keySpec(ks)
	}
	c.w.Array(len(cmd.Sub))
	for _, sub := range cmd.Sub {
		c.commandInfo(sub)
	}
}

func (c *Client) simpleStrings(words []string) {
	c.w.Set(len(words))
	for _, w := range words {
		c.w.SimpleString(w)
	}
}

func (c *Client) keySpec(ks keySpec) {
	if ks.Notes == "" {
		c.w.Map(3)
	} else {
		c.w.Map(4)
		c.w.BulkString("notes")
		c.w.BulkString(ks.Notes)
	}
	c.w.BulkString("flags")
	c.simpleStrings(ks.Flags)
	c.w.BulkString("begin_search")
	c.specPart(ks.BeginSearch, "index", "keyword", "startfrom")
	c.w.BulkString("find_keys")
	c.specPart(ks.FindKeys, "lastkey", "keystep", "limit", "keynumidx", "firstkey")
}

// specPart replies one half of a key specification, its fields in Redis's order.
func (c *Client) specPart(p specPart, order ...string) {
	c.w.Map(2)
	c.w.BulkString("type")
	c.w.BulkString(p.Type)
	c.w.BulkString("spec")
	c.w.Map(len(p.Spec))
	if p.Type == "keynum" {
		order = []string{"keynumidx", "firstkey", "keystep"}
	}
	for _, name := range order {
		raw, ok := p.Spec[name]
		if !ok {
			continue
		}
		c.w.BulkString(name)
		var n int64
		var s string
		if json.Unmarshal(raw, &n) == nil {
			c.w.Int(n)
		} else if json.Unmarshal(raw, &s) == nil {
			c.w.BulkString(s)
		}
	}
}

func cmdCommandDocs(c *Client) {
	cmds := c.s.sortedCommands()
	if len(c.args) > 2 {
		cmds = nil
		for _, name := range c.args[2:] {
			if cmd := c.s.named(name); cmd != nil {
				cmds = append(cmds, cmd)
			}
		}
	}
	c.w.Map(len(cmds))
	for _, cmd := range cmds {
		c.w.BulkString(cmd.full)
		c.commandDocs(cmd)
	}
}

// optionalMap writes the pairs that have something to say as a map.
type pair struct {
	name  string
	write func()
}

func (c *Client) pairs(ps []pair) {
	c.w.Map(len(ps))
	for _, p := range ps {
		c.w.BulkString(p.name)
		p.write()
	}
}

func (c *Client) text(name, v string) pair { return pair{name, func() { c.w.BulkString(v) }} }

func (c *Client) commandDocs(cmd *Command) {
	f := cmd.facts()
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
			c.w.Map(len(cmd.Sub))
			for _, sub := range cmd.Sub {
				c.w.BulkString(sub.full)
				c.commandDocs(sub)
			}
		}})
	}
	c.pairs(ps)
}

func (c *Client) argumentDocs(args []argumentFacts) {
	c.w.Array(len(args))
	for _, a := range args {
		ps := []pair{c.text("name", a.Name), c.text("type", a.Type)}
		if a.KeySpecIndex != nil {
			ps = append(ps, pair{"key_spec_index", func() { c.w.Int(*a.KeySpecIndex) }})
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

func cmdCommandList(c *Client) {
	keep := func(*Command) bool { return true }
	switch n := len(c.args); {
	case n == 2:
	case n == 5 && c.is(2, "filterby") && c.is(3, "module"):
		keep = func(*Command) bool { return false }
	case n == 5 && c.is(2, "filterby") && c.is(3, "aclcat"):
		cat := "@" + strings.ToLower(string(c.args[4]))
		keep = func(cmd *Command) bool { return slices.Contains(cmd.facts().Categories, cat) }
	case n == 5 && c.is(2, "filterby") && c.is(3, "pattern"):
		keep = func(cmd *Command) bool { return pubsub.MatchFold(c.args[4], cmd.full) }
	default:
		c.fail(errSyntax)
		return
	}
	w := resp.Writer{Proto: c.w.Proto}
	n := 0
	var list func(cmds []*Command)
	list = func(cmds []*Command) {
		for _, cmd := range cmds {
			if keep(cmd) {
				w.BulkString(cmd.full)
				n++
			}
			list(cmd.Sub)
		}
	}
	list(c.s.sortedCommands())
	c.w.Set(n)
	c.w.Raw(w.Buf)
}

func cmdCommandHelp(c *Client) {
	c.help(
		"(no subcommand)", "    Return details about all Redis commands.",
		"COUNT", "    Return the total number of commands in this Redis server.",
		"LIST", "    Return a list of all commands in this Redis server.",
		"INFO [<command-name> ...]", "    Return details about multiple Redis commands.", "    If no command names are given, documentation details for all", "    commands are returned.",
		"DOCS [<command-name> ...]", "    Return documentation details about multiple Redis commands.", "    If no command names are given, documentation details for all", "    commands are returned.",
		"GETKEYS <full-command>", "    Return the keys from a full Redis command.",
		"GETKEYSANDFLAGS <full-command>", "    Return the keys and the access flags from a full Redis command.",
	)
}
