// Package introspect is what an engine says of itself: COMMAND, with what the documentation of Redis 7.0 knows of each
// command (commands.json, summaries.txt); SLOWLOG and LATENCY; and the answers of a Redis without cluster and modules,
// for those who ask whether they are there. Its handlers see no more than an engine.Call, as those of package commands.
package introspect

import (
	_ "embed"
	"encoding/json"
	"maps"
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
		{Name: "command", Arity: -1, Flags: f, Handler: cmdCommand, Sub: []*engine.Command{
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

// Facts are what is known of a command beyond the table, in the words of COMMAND DOCS. The fields have the names that
// commands.json gives them.
type Facts struct {
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

	from          int  // the argument from which on it may be about a key; beyond all of them where a word says that
	reads, writes bool // what the flags come to, see KeyAccess
}

type specPart struct {
	Type string                     `json:"type"`
	Spec map[string]json.RawMessage `json:"spec"`
}

var loadFacts = sync.OnceValue(func() map[string]*Facts {
	facts := map[string]*Facts{}
	if err := json.Unmarshal(factsJSON, &facts); err != nil {
		panic("introspect: commands.json: " + err.Error())
	}
	for _, f := range facts {
		for i := range f.KeySpecs {
			ks := &f.KeySpecs[i]
			ks.from = ks.firstArg()
			ks.reads, ks.writes = access(ks.Flags)
		}
	}
	for line := range strings.Lines(summaryText) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if f := facts[name]; f != nil {
			f.Summary = strings.TrimSpace(text)
		}
	}
	return facts
})

// FactsOf returns what is known of the command; never nil.
func FactsOf(cmd *engine.Command) *Facts {
	if f := loadFacts()[cmd.FullName()]; f != nil {
		return f
	}
	return &Facts{Group: cmd.Group}
}

// Documented returns what is known of all commands of Redis 7.0, by their full names. It is read-only.
func Documented() map[string]*Facts { return loadFacts() }

func sortedCommands(e *engine.Engine) []*engine.Command {
	cmds := make([]*engine.Command, 0, len(e.Commands))
	for _, name := range slices.Sorted(maps.Keys(e.Commands)) {
		cmds = append(cmds, e.Commands[name])
	}
	return cmds
}

func cmdCommand(c *engine.Call) {
	cmds := sortedCommands(c.Engine())
	c.Reply.Array(len(cmds))
	for _, cmd := range cmds {
		commandInfo(c, cmd)
	}
}

func cmdCommandCount(c *engine.Call) { c.Reply.Int(int64(len(c.Engine().Commands))) }

// named finds the command or subcommand ("config|get") that a name means.
func named(e *engine.Engine, name []byte) *engine.Command {
	parent, sub, has := strings.Cut(string(name), "|")
	cmd := engine.Find(e.Commands, []byte(parent))
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

func cmdCommandInfo(c *engine.Call) {
	if len(c.Args) == 2 {
		cmdCommand(c)
		return
	}
	c.Reply.Array(len(c.Args) - 2)
	for _, name := range c.Args[2:] {
		if cmd := named(c.Engine(), name); cmd != nil {
			commandInfo(c, cmd)
		} else {
			c.Reply.Null()
		}
	}
}

func commandInfo(c *engine.Call, cmd *engine.Command) {
	f := FactsOf(cmd)
	keys := cmd.Keys
	c.Reply.Array(10)
	c.Reply.BulkString(cmd.FullName())
	c.Reply.Int(int64(cmd.Arity))
	simpleStrings(c, cmd.FlagList())
	c.Reply.Int(int64(keys.First))
	c.Reply.Int(int64(keys.Last))
	c.Reply.Int(int64(keys.Step))
	simpleStrings(c, f.Categories)
	c.Reply.Array(len(f.Tips))
	for _, t := range f.Tips {
		c.Reply.BulkString(t)
	}
	c.Reply.Array(len(f.KeySpecs))
	for _, ks := range f.KeySpecs {
		replyKeySpec(c, ks)
	}
	c.Reply.Array(len(cmd.Sub))
	for _, sub := range cmd.Sub {
		commandInfo(c, sub)
	}
}

func simpleStrings(c *engine.Call, words []string) {
	c.Reply.Set(len(words))
	for _, w := range words {
		c.Reply.SimpleString(w)
	}
}

func replyKeySpec(c *engine.Call, ks keySpec) {
	if ks.Notes == "" {
		c.Reply.Map(3)
	} else {
		c.Reply.Map(4)
		c.Reply.BulkString("notes")
		c.Reply.BulkString(ks.Notes)
	}
	c.Reply.BulkString("flags")
	simpleStrings(c, ks.Flags)
	c.Reply.BulkString("begin_search")
	replySpecPart(c, ks.BeginSearch, "index", "keyword", "startfrom")
	c.Reply.BulkString("find_keys")
	replySpecPart(c, ks.FindKeys, "lastkey", "keystep", "limit", "keynumidx", "firstkey")
}

// replySpecPart replies one half of a key specification, its fields in Redis's order.
func replySpecPart(c *engine.Call, p specPart, order ...string) {
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

func cmdCommandDocs(c *engine.Call) {
	cmds := sortedCommands(c.Engine())
	if len(c.Args) > 2 {
		cmds = nil
		for _, name := range c.Args[2:] {
			if cmd := named(c.Engine(), name); cmd != nil {
				cmds = append(cmds, cmd)
			}
		}
	}
	c.Reply.Map(len(cmds))
	for _, cmd := range cmds {
		c.Reply.BulkString(cmd.FullName())
		commandDocs(c, cmd)
	}
}

// pair is a name and what writes its value.
type pair struct {
	name  string
	write func()
}

func pairs(c *engine.Call, ps []pair) {
	c.Reply.Map(len(ps))
	for _, p := range ps {
		c.Reply.BulkString(p.name)
		p.write()
	}
}

func text(c *engine.Call, name, v string) pair { return pair{name, func() { c.Reply.BulkString(v) }} }

func commandDocs(c *engine.Call, cmd *engine.Command) {
	f := FactsOf(cmd)
	ps := []pair{text(c, "summary", f.Summary), text(c, "since", f.Since), text(c, "group", f.Group)}
	if len(f.DocFlags) > 0 {
		ps = append(ps, pair{"doc_flags", func() { simpleStrings(c, f.DocFlags) }})
	}
	if f.DeprecatedSince != "" {
		ps = append(ps, text(c, "deprecated_since", f.DeprecatedSince))
	}
	if f.ReplacedBy != "" {
		ps = append(ps, text(c, "replaced_by", f.ReplacedBy))
	}
	if len(f.Arguments) > 0 {
		ps = append(ps, pair{"arguments", func() { argumentDocs(c, f.Arguments) }})
	}
	if len(cmd.Sub) > 0 {
		ps = append(ps, pair{"subcommands", func() {
			c.Reply.Map(len(cmd.Sub))
			for _, sub := range cmd.Sub {
				c.Reply.BulkString(sub.FullName())
				commandDocs(c, sub)
			}
		}})
	}
	pairs(c, ps)
}

func argumentDocs(c *engine.Call, args []argumentFacts) {
	c.Reply.Array(len(args))
	for _, a := range args {
		ps := []pair{text(c, "name", a.Name), text(c, "type", a.Type)}
		if a.KeySpecIndex != nil {
			ps = append(ps, pair{"key_spec_index", func() { c.Reply.Int(*a.KeySpecIndex) }})
		}
		if a.Token != nil {
			ps = append(ps, text(c, "token", *a.Token))
		}
		if a.Since != "" {
			ps = append(ps, text(c, "since", a.Since))
		}
		if a.DeprecatedSince != "" {
			ps = append(ps, text(c, "deprecated_since", a.DeprecatedSince))
		}
		if len(a.Flags) > 0 {
			ps = append(ps, pair{"flags", func() { simpleStrings(c, a.Flags) }})
		}
		if len(a.Arguments) > 0 {
			ps = append(ps, pair{"arguments", func() { argumentDocs(c, a.Arguments) }})
		}
		pairs(c, ps)
	}
}

func cmdCommandList(c *engine.Call) {
	keep := func(*engine.Command) bool { return true }
	switch n := len(c.Args); {
	case n == 2:
	case n == 5 && c.Is(2, "filterby") && c.Is(3, "module"):
		keep = func(*engine.Command) bool { return false }
	case n == 5 && c.Is(2, "filterby") && c.Is(3, "aclcat"):
		cat := "@" + strings.ToLower(string(c.Args[4]))
		keep = func(cmd *engine.Command) bool { return slices.Contains(FactsOf(cmd).Categories, cat) }
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
	list(sortedCommands(c.Engine()))
	c.Reply.Set(n)
	c.Reply.Raw(w.Buf)
}

func cmdCommandHelp(c *engine.Call) {
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
