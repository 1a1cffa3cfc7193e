package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"byor/pkg/resp"
)

// The configuration at start: a file, the standard input and the command line are one text, as in
// Redis, in which the later line wins. All errors end the start.

// Error is a line of a configuration that cannot be used.
type Error struct {
	Line   int // counted as Redis does: the options follow on the file, each a line
	Text   string
	Reason string
	Hint   string // what the parameter takes, and where to read on
}

func (e *Error) Error() string {
	text := "*** FATAL CONFIG FILE ERROR (Redis " + RedisVersion + ") ***\n"
	if e.Line > 0 {
		text += fmt.Sprintf("Reading the configuration file, at line %d\n>>> '%s'\n", e.Line, e.Text)
	}
	text += e.Reason
	if e.Hint != "" {
		text += "\n" + e.Hint
	}
	return text
}

// maxIncludes is how deep files may include each other. A file that includes itself never ends.
const maxIncludes = 16

// ParseArgs reads redis-server's command line, without the program's name: an optional file, then
// options: --port 6380 --save "" "--maxmemory 100mb" … A lone "-", as the first or last argument, is
// the standard input.
func (c *Config) ParseArgs(args []string) error {
	if err := c.ReadArgs(args); err != nil {
		return err
	}
	return c.loaded()
}

// ReadArgs is ParseArgs for who wants to know a server's configuration without being that server: it touches
// nothing, where ParseArgs creates the log file to see whether it can.
func (c *Config) ReadArgs(args []string) error {
	var text strings.Builder
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		c.File = AbsDir(args[0])
		content, err := readConfig(c.File)
		if err != nil {
			return err
		}
		text.WriteString(content)
		args = args[1:]
	} else if len(args) > 0 && args[0] == "-" {
		args = append(args[1:len(args):len(args)], "-") // read before the options all the same
	}
	if n := len(args); n > 0 && args[n-1] == "-" {
		content, err := io.ReadAll(c.Stdin)
		if err != nil {
			return err
		}
		text.Write(content)
		args = args[:n-1]
	}
	options := optionLines(args)
	lines := strings.Split(text.String()+"\n"+options, "\n")
	return c.load(lines, len(lines)-strings.Count(options, "\n")-1, 0)
}

// optionLines makes lines of a configuration of the command line. What follows on a plain name is its
// value, even if it begins with "--"; only --save may do without one.
func optionLines(args []string) string {
	var b strings.Builder
	wantsName := true
	for i, a := range args {
		if !wantsName || !strings.HasPrefix(a, "--") {
			b.WriteString(Quote([]byte(a)) + " ")
			wantsName = true
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(a[2:] + " ")
		words, _ := resp.SplitArgs([]byte(a))
		if len(words) != 1 {
			continue // name and value in one argument
		}
		last := i == len(args)-1
		noValue := strings.EqualFold(a, "--save") && (last || strings.HasPrefix(args[i+1], "--"))
		if noValue {
			b.WriteString(`""`)
		}
		wantsName = noValue
	}
	return b.String()
}

// readConfig reads a file, or all files that a pattern matches. None at all is fine, as in a conf.d
// that is still empty.
func readConfig(path string) (string, error) {
	files := []string{path}
	if strings.ContainsAny(path, "*?[") {
		files, _ = filepath.Glob(path)
	}
	var text strings.Builder
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("Fatal error, can't open config file '%s': %s", file, ErrnoText(err)) //nolint:staticcheck // Redis's words
		}
		text.Write(b)
	}
	return text.String(), nil
}

// load applies lines. Those from index options on are the command line's.
func (c *Config) load(lines []string, options, depth int) error {
	for i, line := range lines {
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		args, ok := resp.SplitArgs([]byte(line))
		wrong := errors.New("Unbalanced quotes in configuration line") //nolint:staticcheck // Redis's words
		if ok {
			wrong = nil
			if len(args) > 0 {
				wrong = c.directive(args, depth)
			}
		}
		var fatal *fatalError
		if errors.As(wrong, &fatal) {
			return fatal.error
		}
		if wrong != nil {
			hint := ""
			if len(args) > 0 {
				hint = hintFor(string(args[0]), i >= options)
			}
			return &Error{Line: i + 1, Text: line, Reason: wrong.Error(), Hint: hint}
		}
	}
	return nil
}

// fatalError is one of a file that was included, and speaks for itself.
type fatalError struct{ error }

var errBadDirective = errors.New("Bad directive or wrong number of arguments") //nolint:staticcheck // Redis's words

// directive applies one line.
func (c *Config) directive(args [][]byte, depth int) error {
	name := strings.ToLower(string(args[0]))
	words := make([]string, len(args)-1)
	for i, a := range args[1:] {
		words[i] = string(a)
	}
	if p := Find(name); p != nil {
		return c.setAtStart(p, words)
	}
	switch n := len(words); {
	case slices.Contains(outdated, name) && n == 1:
		return nil
	case name == "include" && n == 1:
		if err := c.include(words[0], depth+1); err != nil {
			return &fatalError{err}
		}
		return nil
	case name == "rename-command" && n == 2:
		return c.renameCommand(words[0], words[1])
	case name == "user" && n >= 1:
		return c.addUser(words[0], words[1:])
	case name == "sentinel" && n > 0:
		return errors.New("sentinel directive while not in sentinel mode")
	}
	if c.Others != nil && len(words) > 0 {
		if known, err := c.Others(name, strings.Join(words, " ")); known {
			return err
		}
	}
	return errBadDirective
}

// outdated are parameters of older releases of Redis, which it passes over.
var outdated = []string{"list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"}

// include reads another file at this place. Its name is relative to dir, which may have been set by then.
func (c *Config) include(path string, depth int) error {
	if depth > maxIncludes {
		return fmt.Errorf("Fatal error, can't open config file '%s': files include each other more than %d deep", path, maxIncludes) //nolint:staticcheck // as Redis's
	}
	content, err := readConfig(c.InDir(path))
	if err != nil {
		return err
	}
	lines := strings.Split(content, "\n")
	return c.load(lines, len(lines), depth)
}

// InDir returns the path of a file whose name may be relative to dir. It stays short where it can: that
// of a socket has some 100 bytes.
func (c *Config) InDir(path string) string {
	if path == "" || filepath.IsAbs(path) || AbsDir(c.Dir) == AbsDir(".") {
		return path
	}
	return filepath.Join(AbsDir(c.Dir), path)
}

// setAtStart sets a parameter to what its line says.
func (c *Config) setAtStart(p *Param, words []string) error {
	if len(words) == 0 && !slices.Contains(mayBeEmpty, p.Name) || !p.multi && len(words) > 1 {
		return errors.New("wrong number of arguments")
	}
	value := strings.Join(words, " ")
	switch {
	case p.Name == "save":
		return c.addSave(value)
	case p.Name == "client-output-buffer-limit" && len(words) == 0:
		return nil
	}
	return p.Set(c, value)
}

// mayBeEmpty are the parameters that may stand alone on a line.
var mayBeEmpty = []string{"bind", "save", "client-output-buffer-limit", "latency-tracking-info-percentiles", "shutdown-on-sigterm", "shutdown-on-sigint"}

// addSave adds save points. The first line replaces the defaults, one without a point all so far.
func (c *Config) addSave(value string) error {
	points, err := parseSave(value)
	if err != nil {
		return err
	}
	if len(points) == 0 || !c.saveGiven {
		c.Save = nil
	}
	c.Save, c.saveGiven = append(c.Save, points...), true
	return nil
}

// loaded checks what only the whole can show.
func (c *Config) loaded() error {
	if c.LogFile != "" {
		f, err := os.OpenFile(c.InDir(c.LogFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return &Error{Reason: "Can't open the log file: " + ErrnoText(err)}
		}
		f.Close()
	}
	return nil
}
