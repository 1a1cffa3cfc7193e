//go:build unix

package server

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"byor/pkg/config"
	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// startCase is a command line. want is what CONFIG GET says of some parameters then, or how the start ends.
type startCase struct {
	name   string
	files  map[string]string // c.conf is the configuration file, and is given
	stdin  string
	args   []string
	want   map[string]string
	refuse string
}

func conf(text string, more ...string) map[string]string {
	files := map[string]string{"c.conf": text}
	for i := 0; i < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	return files
}

func is(pairs ...string) map[string]string { return conf("", pairs...) }

func fatalAt(line, text, reason string) string {
	return "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line " + line + "\n>>> '" + text + "'\n" + reason
}

var startCases = []startCase{
	{name: "one argument", args: []string{"--maxmemory 700mb"}, want: is("maxmemory", "734003200")},
	{name: "one argument, quoted", args: []string{`--masterauth "a b"`, "--hz 12"}, want: is("masterauth", "a b", "hz", "12")},
	{name: "one argument, two lines", args: []string{"--hz 11\ntimeout 7"}, want: is("hz", "11", "timeout", "7")},
	{name: "one argument, unbalanced", args: []string{`--masterauth "a b`}, refuse: fatalAt("2", `masterauth "a b`, "Unbalanced quotes in configuration line")},
	{name: "twice", args: []string{"--maxmemory", "1", "--maxmemory", "2"}, want: is("maxmemory", "2")},
	{name: "any case", args: []string{"--MaxMemory", "1kb"}, want: is("maxmemory", "1024")},
	{name: "value like an option", args: []string{"--masterauth", "--x"}, want: is("masterauth", "--x")},
	{name: "value with everything", args: []string{"--masterauth", "x\"y\\z '\n\t\x01"}, want: is("masterauth", "x\"y\\z '\n\t\x01")},
	{name: "name only", args: []string{"--masterauth"}, refuse: fatalAt("2", "masterauth", "wrong number of arguments")},
	{name: "two values", args: []string{"--maxmemory", "1", "2"}, refuse: fatalAt("2", `maxmemory "1" "2"`, "wrong number of arguments")},
	{name: "no value but an option", args: []string{"--hz", "--timeout", "5"}, refuse: fatalAt("2", `hz "--timeout" "5"`, "wrong number of arguments")},
	{name: "unknown", args: []string{"--nosuch", "1"}, refuse: fatalAt("2", `nosuch "1"`, "Bad directive or wrong number of arguments")},
	{name: "one dash", args: []string{"-x"}, refuse: fatalAt("2", `"-x"`, "Bad directive or wrong number of arguments")},
	{name: "no number", args: []string{"--hz", "x"}, refuse: fatalAt("2", `hz "x"`, "argument couldn't be parsed into an integer")},

	{name: "stdin", stdin: "maxmemory 5mb\nhz 12", args: []string{"-"}, want: is("maxmemory", "5242880", "hz", "12")},
	{name: "stdin first, options win", stdin: "maxmemory 5mb\n", args: []string{"-", "--maxmemory", "7"}, want: is("maxmemory", "7")},
	{name: "stdin last, options win", stdin: "maxmemory 5mb\n", args: []string{"--maxmemory", "7", "-"}, want: is("maxmemory", "7")},
	{name: "stdin behind a file", files: conf("maxmemory 1mb\nhz 12\n"), stdin: "maxmemory 5mb\n", args: []string{"--timeout", "3", "-"}, want: is("maxmemory", "5242880", "hz", "12", "timeout", "3")},
	{name: "stdin in the middle", files: conf("hz 12\n"), args: []string{"-", "--hz", "3"}, refuse: fatalAt("3", `"-"`, "Bad directive or wrong number of arguments")},

	{name: "save adds", files: conf("save 5 5\nsave 6 6 7 7\n"), args: []string{"--save", "60", "1", "--save", "300 10"}, want: is("save", "5 5 6 6 7 7 60 1 300 10")},
	{name: "save begins anew", files: conf("save 5 5\nsave \"\"\nsave 6 6\n"), want: is("save", "6 6")},
	{name: "save none, last", files: conf("save 5 5\n"), args: []string{"--save"}, want: is("save", "")},
	{name: "save none, before another", files: conf("save 5 5\n"), args: []string{"--save", "--hz", "11"}, want: is("save", "", "hz", "11")},
	{name: "save none, empty", files: conf("save 5 5\n"), args: []string{"--save", "", "--hz", "11"}, want: is("save", "", "hz", "11")},
	{name: "save odd", args: []string{"--save", "1 2 3"}, refuse: fatalAt("2", `save "1 2 3"`, "Invalid save parameters")},

	{name: "include", files: conf("maxmemory 1mb\ninclude a/1.conf\nhz 13\n", "a/1.conf", "maxmemory 2mb\nhz 20\n"), want: is("maxmemory", "2097152", "hz", "13")},
	{name: "include many", files: conf("include a/*.conf\n", "a/1.conf", "hz 12\ntimeout 1\n", "a/2.conf", "hz 13\n"), want: is("hz", "13", "timeout", "1")},
	{name: "include none", files: conf("include a/*.conf\nhz 11\n"), want: is("hz", "11")},
	{name: "include, missing", files: conf("include a/1.conf\nhz 11\n"), refuse: "Fatal error, can't open config file '"},
	{name: "include, wrong", files: conf("hz 11\n\ninclude x\n", "x", "\nbogus x\n"), refuse: fatalAt("2", "bogus x", "Bad directive or wrong number of arguments")},
	{name: "include in dir", files: conf("dir sub\ninclude x\n", "sub/x", "hz 12\n"), want: is("hz", "12")},
	{name: "include as option", files: conf("", "x", "hz 44\n"), args: []string{"--include", "[x]", "--timeout", "9"}, want: is("hz", "44", "timeout", "9")},
	{name: "dir in dir", files: conf("dir a\ndir b\n", "a/b/x", ""), want: is("dir", "@/a/b")},
	{name: "a pattern as file", files: map[string]string{"c?.conf": "", "c1.conf": "hz 12\n", "c2.conf": "hz 13\n"}, want: is("hz", "13")},

	{name: "file, wrong", files: conf("# x\n\n  maxmemory 2mb  x\n"), refuse: fatalAt("3", "maxmemory 2mb  x", "wrong number of arguments")},
	{name: "option behind a file, wrong", files: conf("hz 11\n\n\n"), args: []string{"--bogus", "1"}, refuse: fatalAt("5", `bogus "1"`, "Bad directive or wrong number of arguments")},
	{name: "outdated", files: conf("list-max-ziplist-entries 3\nlua-replicate-commands no\nlist-max-ziplist-value 2\nhz 11"), want: is("hz", "11")},
	{name: "comments", files: conf("masterauth #x\n \t# hz 3\n"), want: is("masterauth", "#x", "hz", "10")},
	{name: "CRLF", files: conf("hz 11\r\nmaxmemory 1kb\r\n"), want: is("hz", "11", "maxmemory", "1024")},
	{name: "quotes", files: conf("masterauth \"a\\x41\\n\"\nmasteruser 'it\\'s \\n'\n"), want: is("masterauth", "aA\n", "masteruser", "it's \\n")},
	{name: "sentinel's", files: conf("sentinel x\n"), refuse: fatalAt("1", "sentinel x", "sentinel directive while not in sentinel mode")},
	{name: "log that cannot be", args: []string{"--logfile", "/nosuch/x"}, refuse: "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nCan't open the log file: No such file or directory"},

	{name: "bind", args: []string{"--bind 127.0.0.1 -::1"}, want: is("bind", "127.0.0.1 -::1")},
	{name: "bind nowhere", files: conf("bind\n"), want: is("bind", "")},
	{name: "replicaof", args: []string{"--replicaof 127.0.0.1 1"}, want: is("replicaof", "127.0.0.1 1")},
	{name: "slaveof", args: []string{"--slaveof", "127.0.0.1 1"}, want: is("replicaof", "127.0.0.1 1")},
	{name: "replicaof no one", files: conf("replicaof 127.0.0.1 1\nreplicaof No One\n"), want: is("replicaof", "")},
	{name: "replicaof nothing", args: []string{"--replicaof", ""}, refuse: fatalAt("2", `replicaof ""`, "wrong number of arguments")},
	{name: "replicaof a host", args: []string{"--replicaof", "x"}, refuse: fatalAt("2", `replicaof "x"`, "wrong number of arguments")},
	{name: "replicaof, wrong port", args: []string{"--replicaof", "x", "70000"}, refuse: fatalAt("2", `replicaof "x" "70000"`, "Invalid master port")},
	{name: "user", files: conf("user default on nopass sanitize-payload ~* &* +@all\nhz 11\n"), want: is("hz", "11", "requirepass", "")},

	{name: "rename unknown", args: []string{"--rename-command", "nosuch", "x"}, refuse: fatalAt("2", `rename-command "nosuch" "x"`, "No such command in rename-command")},
	{name: "rename to another", args: []string{"--rename-command", "get", "SET"}, refuse: fatalAt("2", `rename-command "get" "SET"`, "Target command name already exists")},
	{name: "rename twice", files: conf("rename-command get a\nrename-command get b\n"), refuse: fatalAt("2", `rename-command get b`, "No such command in rename-command")},
	{name: "rename to what is gone", files: conf("rename-command get a\nrename-command set get\nrename-command a set\nhz 11"), want: is("hz", "11")},
	{name: "rename, no new name", args: []string{"--rename-command", "get"}, refuse: fatalAt("2", `rename-command "get"`, "Bad directive or wrong number of arguments")},
}

// TestStartConfiguration gives command lines to us and to a real Redis.
func TestStartConfiguration(t *testing.T) {
	for _, tc := range startCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir, args := t.TempDir(), tc.args
			for name, text := range tc.files {
				path := filepath.Join(dir, name)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
			}
			if _, ok := tc.files["c?.conf"]; ok {
				require.NoError(t, os.Remove(filepath.Join(dir, "c?.conf")))
				args = append([]string{"c?.conf"}, args...)
			} else if tc.files != nil {
				args = append([]string{"c.conf"}, args...)
			}
			oursAtStart(t, tc, dir, args)
			if redistest.Has("redis-server") {
				theirsAtStart(t, tc, dir, args)
			}
		})
	}
}

// oursAtStart reads the configuration in this process, where "." cannot be the test's: dir is.
func oursAtStart(t *testing.T, tc startCase, dir string, args []string) {
	c := config.Default()
	c.Dir, c.Stdin = dir, strings.NewReader(tc.stdin)
	args = append([]string(nil), args...)
	if len(args) > 0 && strings.HasSuffix(args[0], ".conf") {
		args[0] = filepath.Join(dir, args[0])
	}
	err := c.ParseArgs(args)
	if tc.refuse != "" {
		require.ErrorContains(t, err, tc.refuse)
		return
	}
	require.NoError(t, err)
	for name, want := range tc.want {
		if name != "c.conf" {
			require.Equal(t, strings.Replace(want, "@", dir, 1), config.Find(name).Get(c), name)
		}
	}
}

// theirsAtStart starts a redis-server, whose socket stands in the environment's place: in the file or in
// the standard input, so that the case's command line stays as it is.
func theirsAtStart(t *testing.T, tc startCase, dir string, args []string) {
	if tc.refuse != "" {
		cmd := exec.Command("redis-server", args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(tc.stdin)
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), tc.refuse)
		return
	}
	sock := filepath.Join(shortDir(t), "s")
	more := []string{"--port 0", "--unixsocket " + sock}
	if n := len(args); n > 0 && args[n-1] == "-" && n > 1 {
		args = append(args[:n-1:n-1], append(more, "-")...)
	} else if n > 0 && args[n-1] == "--save" {
		args = append(args[:n-1:n-1], append(more, "--save")...)
	} else {
		args = append(args[:n:n], more...)
	}
	p := startProcess(t, sock, []string{"redis-server"}, func(cmd *exec.Cmd) { cmd.Dir, cmd.Stdin = dir, strings.NewReader(tc.stdin) }, args)
	p.ready()
	c := p.dial()
	for name, want := range tc.want {
		if name != "c.conf" {
			v := c.do("CONFIG GET " + name)
			require.Len(t, v.Elems, 2)
			require.Equal(t, strings.Replace(want, "@", dir, 1), string(v.Elems[1].Str), name)
		}
	}
}

// A file that includes itself ends the start, not the process's memory.
func TestIncludeOfItself(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.conf")
	require.NoError(t, os.WriteFile(file, []byte("include "+file+"\n"), 0o644))
	require.ErrorContains(t, config.Default().ParseArgs([]string{file}), "files include each other")
}

// What is wrong with a command line is said with what would be right.
func TestHints(t *testing.T) {
	for args, hint := range map[string]string{
		"--maxmemory x":                "--maxmemory takes a number of bytes such as 1000, 64kb or 1gb.",
		"--port 70000":                 "--port takes a number from 0 to 65535.",
		"--appendonly maybe":           "--appendonly takes yes or no.",
		"--appendfsync never":          "--appendfsync takes one of everysec, always, no.",
		"--slaveof x":                  "--slaveof takes a host and a port.",
		"--tls-port -1":                "--tls-port takes a number from 0 to 65535.",
		"--tls-ciphers x":              `--tls-ciphers takes nothing but its default here, "".`,
		"--maxmemry 1":                 "Did you mean --maxmemory?",
		"--port=77":                    "Write --port 77.",
		"-port 77":                     "Options begin with two dashes, and each stands before its value.",
		"--save 1":                     "--save takes seconds and changes in pairs, such as 3600 1 300 100, or ''.",
		"--user bob on on x":           "--user takes a name and rules, such as: on >password ~keys:* &* +@all.",
		"--rename-command get":         "--rename-command takes the name of a command and its new name, '' for none.",
		"--slowlog-max-len -1":         "--slowlog-max-len takes a number of 0 or more.",
		"--activedefrag perhaps":       `--activedefrag takes nothing but its default here, "no".`,
		"--replica-lazy-flush perhaps": "--replica-lazy-flush takes one of yes, no.",
	} {
		err := config.Default().ParseArgs(strings.Fields(args))
		var wrong *config.Error
		require.ErrorAs(t, err, &wrong, args)
		require.Equal(t, hint, wrong.Hint, args)
	}
}

// What a line about a user says is kept for the server; what cannot be right is refused at once.
func TestUserLine(t *testing.T) {
	read := func(text string) (*config.Config, error) {
		c := config.Default()
		c.Stdin = strings.NewReader(text)
		return c, c.ParseArgs([]string{"-"})
	}
	c, err := read("user default on >pw ~* &* +@all\nuser bob (+get ~x) +nosuch off\nuser ann\n")
	require.NoError(t, err)
	require.Equal(t, []config.UserLine{
		{Name: "default", Rules: []string{"on", ">pw", "~*", "&*", "+@all"}}, {Name: "bob", Rules: []string{"(+get ~x)", "+nosuch", "off"}}, {Name: "ann"},
	}, c.Users)
	require.Empty(t, c.RequirePass)
	for text, reason := range map[string]string{
		"user a on\nuser a off\n":   "Error in user declaration 'a': Duplicate user found. A user can only be defined once in config files",
		"user a on nonsense\n":      "Error in user declaration 'nonsense': Syntax error",
		"user a ~* ~x\n":            "Error in user declaration '~x': Adding a pattern after the * pattern",
		"user a #abc\n":             "Error in user declaration '#abc': The password hash must be exactly 64 characters",
		"user a <x\n":               "Error in user declaration '<x': The password you are trying to remove",
		"user a on (+get ~x on\n":   "Unmatched parenthesis in acl selector starting at '(+get'.",
		"user\n":                    "Bad directive or wrong number of arguments",
		"acl-pubsub-default none\n": "argument(s) must be one of the following: allchannels, resetchannels",
	} {
		_, err := read(text)
		require.ErrorContains(t, err, reason, text)
	}
}
