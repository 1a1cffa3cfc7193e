package main

import (
	"slices"
	"strconv"
	"strings"

	"byor/pkg/config"
	"byor/pkg/introspect"
)

// shown writes a command's name as people do: `CONFIG SET`.
func shown(name string) string {
	return "`" + strings.ToUpper(strings.ReplaceAll(name, "|", " ")) + "`"
}

// groups are Redis's groups of commands, in the order of the page.
var groups = []struct{ name, title string }{
	{"string", "Strings"}, {"list", "Lists"}, {"hash", "Hashes"}, {"set", "Sets"}, {"sorted-set", "Sorted sets"}, {"stream", "Streams"},
	{"geo", "Places"}, {"bitmap", "Bitmaps"}, {"hyperloglog", "HyperLogLog"}, {"generic", "Keys"}, {"transactions", "Transactions"},
	{"pubsub", "Publish and subscribe"}, {"scripting", "Scripts and functions"}, {"connection", "Connections"}, {"server", "The server"},
	{"cluster", "Cluster"},
}

// state is what a command is here.
func (p *page) state(name string) (kind string, d difference) {
	for _, d := range p.diffs {
		if d.kind != setting && d.covers(name) {
			return d.kind, d
		}
	}
	return "", difference{}
}

func (p *page) commands() {
	names := commandNames()
	count := map[string]int{}
	for _, name := range names {
		kind, _ := p.state(name)
		switch {
		case !p.here[name]:
			count["missing"]++
		case kind == without:
			count[without]++
		default:
			count["here"]++
		}
	}
	p.b.WriteString("# Compatibility with Redis 7.0\n\n")
	p.line("This page lists the commands and settings of Redis %s, and says which of them are here. `make compat` writes this page from the tables that the server works with; "+
		"only what differs is written by a person, in [differences.txt](compat/differences.txt). A command without a remark is meant to answer as Redis does, "+
		"errors included, and to do the same to the data, the log and the replicas. If you find it otherwise, that is a fault.", config.RedisVersion)
	p.b.WriteString("## Commands\n\n")
	rest := "None is missing."
	if n := count["missing"]; n > 0 {
		rest = "Missing: " + strconv.Itoa(n) + "."
	}
	p.line("Of %d commands and subcommands, %d are here. %d answer as a Redis does that lacks their feature. %s",
		len(names), count["here"], count[without], rest)
	for _, g := range groups {
		p.group(g.name, g.title, names)
	}
}

func groupOf(name string) string { return introspect.Documented()[name].Group }

// group writes the commands of a group: those that are here in a paragraph, with what differs below, and then those
// that are not.
func (p *page) group(group, title string, names []string) {
	p.b.WriteString("### " + title + "\n\n")
	var works, missing, remarks, lacks []string
	lacking := map[string][]string{} // names, by what is said of them
	for _, name := range names {
		if groupOf(name) != group {
			continue
		}
		kind, d := p.state(name)
		switch {
		case !p.here[name]:
			missing = append(missing, name)
		case kind == without:
			if lacking[d.text] == nil {
				lacks = append(lacks, d.text)
			}
			lacking[d.text] = append(lacking[d.text], name)
		default:
			works = append(works, name)
			if kind == differs && !slices.Contains(remarks, shown(d.name)+": "+d.text) {
				remarks = append(remarks, shown(d.name)+": "+d.text)
			}
		}
	}
	if len(works) > 0 {
		p.names(strings.ReplaceAll(listed(works), "`", ""))
	}
	for i, text := range lacks {
		lacks[i] = "**Without the feature:** " + listed(lacking[text]) + ". " + text
	}
	if len(missing) > 0 {
		lacks = append(lacks, "**Missing:** "+listed(missing))
	}
	p.items(append(remarks, lacks...))
}

// listed writes names one after the other, subcommands in brackets behind what they belong to.
func listed(names []string) string {
	var b strings.Builder
	open := ""
	for i, name := range names {
		container, sub, isSub := strings.Cut(name, "|")
		if open != "" && (!isSub || container != open) {
			b.WriteByte(')')
			open = ""
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		switch {
		case isSub && open == "":
			if !slices.Contains(names, container) {
				b.WriteString(shown(container) + " ")
			}
			b.WriteByte('(')
			open = container
			fallthrough
		case isSub:
			b.WriteString(shown(sub))
		default:
			b.WriteString(shown(name))
		}
	}
	if open != "" {
		b.WriteByte(')')
	}
	return b.String()
}

func (p *page) settings() {
	var works, same, only, older []string
	for _, param := range config.Params() {
		name := param.Name
		switch {
		case param.OnlyDefault():
			only = append(only, name)
		case param.Inert:
			same = append(same, name)
		default:
			works = append(works, name)
		}
		if param.Alias != "" {
			older = append(older, "`"+param.Alias+"`")
		}
	}
	p.b.WriteString("## Settings\n\n")
	p.line("`CONFIG GET *` lists the same %d names as in Redis. With older names (%s) the settings are found, too.",
		len(config.Params())+len(older), strings.Join(older, " "))
	p.line("**%d work.** They mean what they mean in Redis, with the same units, ranges and errors. [redis.conf](service/redis.conf) explains each of them.", len(works))
	p.names(strings.Join(works, " "))
	var remarks []string
	for _, d := range p.diffs {
		if d.kind == setting {
			remarks = append(remarks, "`"+d.name+"`: "+d.text)
		}
	}
	p.items(remarks)
	p.line("**%d are accepted and noted.** They tell Redis how to do something inside that is done another way here. "+
		"Whatever the value is, the effect is the same.", len(same))
	p.names(strings.Join(same, " "))
	p.line("**%d have one value.** They ask for something that this server does not have, or does in one way alone. The default is accepted, and any other value is refused by name.", len(only))
	slices.Sort(only)
	p.names(strings.Join(only, " "))
	p.line("Settings of the page and the WebSocket begin with `http-` and `ws-`: see `--help`. A line with `loadmodule` or `sentinel` is refused. " +
		"The others that are no settings work: `include`, `rename-command`, `user`.")
	text := strings.TrimRight(p.b.String(), "\n") + "\n"
	p.b.Reset()
	p.b.WriteString(text)
}
