// Compat writes COMPATIBILITY.md: each command and each parameter of Redis 7.0, whether it is here, and what
// differs. `make compat` calls it. Names and groups come from the tables that the server itself works with. Only what
// differs is written by hand, in differences.txt.
package main

import (
	_ "embed"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/introspect"
	_ "byor/pkg/script" // which registers EVAL and its like
	_ "byor/pkg/server" // which registers all others
)

//go:embed differences.txt
var differencesText string

func main() {
	diffs, err := parseDifferences(differencesText)
	if err == nil {
		err = write(os.Stdout, diffs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		os.Exit(1)
	}
}

// difference is a line of differences.txt.
type difference struct{ kind, name, text string }

// The kinds of differences.
const (
	without = "without"
	differs = "differs"
	setting = "setting"
)

// parseDifferences reads the file. It refuses names that Redis does not have.
func parseDifferences(text string) ([]difference, error) {
	var all []difference
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		kind, rest, _ := strings.Cut(line, " ")
		name, words, _ := strings.Cut(strings.TrimSpace(rest), " ")
		d := difference{kind, name, strings.TrimSpace(words)}
		if err := d.check(); err != nil {
			return nil, fmt.Errorf("differences.txt, line %d: %w", i+1, err)
		}
		if slices.ContainsFunc(all, func(o difference) bool { return o.name == d.name && (o.kind == setting) == (kind == setting) }) {
			return nil, fmt.Errorf("differences.txt, line %d: %s stands there twice", i+1, name)
		}
		all = append(all, d)
	}
	return all, nil
}

func (d difference) check() error {
	if d.text == "" {
		return fmt.Errorf("%s has no text", d.name)
	}
	switch d.kind {
	case setting:
		if p := config.Find(d.name); p == nil || p.Inert {
			return fmt.Errorf("no parameter %s works here", d.name)
		}
	case without, differs:
		if !slices.ContainsFunc(commandNames(), func(name string) bool { return d.covers(name) && here()[name] }) {
			return fmt.Errorf("no command %s of Redis 7.0 is here", d.name)
		}
	default:
		return fmt.Errorf("%s is no kind of difference", d.kind)
	}
	return nil
}

// covers reports whether the line is about a command: cluster|* is about CLUSTER and all that follows on it.
func (d difference) covers(name string) bool {
	container, all := strings.CutSuffix(d.name, "|*")
	return d.name == name || all && (name == container || strings.HasPrefix(name, container+"|"))
}

// beyond7 are commands of later releases. What is said here is about 7.0.
var beyond7 = []string{"client|no-touch", "client|setinfo"}

// commandNames returns all commands and subcommands of Redis 7.0, in order.
func commandNames() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(introspect.Documented())), func(name string) bool { return slices.Contains(beyond7, name) })
}

// here returns the commands and subcommands that the server knows.
func here() map[string]bool {
	out := map[string]bool{}
	named, _ := config.Default().Tables()
	for _, c := range named {
		addNames(out, c)
	}
	return out
}

func addNames(out map[string]bool, c *engine.Command) {
	out[c.FullName()] = true
	for _, sub := range c.Sub {
		addNames(out, sub)
	}
}

// write writes the page.
func write(w io.Writer, diffs []difference) error {
	p := &page{diffs: diffs, here: here()}
	p.commands()
	p.settings()
	_, err := io.WriteString(w, p.b.String())
	return err
}

// page is the page so far.
type page struct {
	b     strings.Builder
	diffs []difference
	here  map[string]bool
}

// paragraph writes text in lines of fewer than 100 columns; those after the first begin with indent.
func (p *page) paragraph(indent, text string) {
	const width = 99
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			p.b.WriteString(line + "\n")
			line = indent + word
			continue
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	p.b.WriteString(line + "\n")
}

// line writes a paragraph and an empty line.
func (p *page) line(format string, args ...any) {
	p.paragraph("", fmt.Sprintf(format, args...))
	p.b.WriteByte('\n')
}

// names writes what is to be looked up and not read, as a block.
func (p *page) names(list string) {
	p.b.WriteString("```text\n")
	p.paragraph("", list)
	p.b.WriteString("```\n\n")
}

// items writes a list.
func (p *page) items(list []string) {
	for _, text := range list {
		p.paragraph("  ", "- "+text)
	}
	if len(list) > 0 {
		p.b.WriteByte('\n')
	}
}
