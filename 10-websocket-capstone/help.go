package main

import (
	"fmt"
	"io"

	"byor/pkg/config"
	"byor/pkg/version"
)

// seeHelp ends each complaint about a command line.
const seeHelp = "Try --help: it lists the options, what they take, and their defaults."

// aboutItself answers --help, -h, --version and -v if one of them comes first, as redis-server does, and likewise
// --health and --completion. done is false where none does; else the process ends with code.
func aboutItself(w io.Writer, args []string) (code int, done bool) {
	if len(args) == 0 {
		return 0, false
	}
	switch args[0] {
	case "-h", "--help":
		help(w)
	case "-v", "--version":
		fmt.Fprintf(w, "%s, compatible with Redis %s\n", version.String(), config.RedisVersion)
	case "--health":
		return health(w, args[1:]), true
	case "--completion":
		return completion(w, args[1:]), true
	default:
		return 0, false
	}
	return 0, true
}

func help(w io.Writer) {
	fmt.Fprint(w, `10-websocket-capstone [redis.conf | -] [--option value …] [-trace]

A Redis with browsers. Options are those of redis.conf and stand there as well; "-" reads it from the standard input.
What is not listed here is as in Redis 7.0: CONFIG GET * shows it.
`)
	config.WriteHelp(w)
	fmt.Fprint(w, "\nThe page and the WebSocket\n")
	for _, s := range gatewaySettings {
		config.WriteHelpLine(w, s.Name, s.Default, s.Help)
	}
	fmt.Fprint(w, "\nOf itself\n")
	config.WriteHelpLine(w, "trace", "", "print every byte that comes in and goes out, and what it means")
	config.WriteHelpLine(w, "fast-path", "", "leave parts of the fast path out, to compare: \"clock=no,touch=no,wait=no\"")
	config.WriteHelpLine(w, "health [ADDRESS | FILE]", "", "ask a server whether it serves: exit code 0 or 1")
	config.WriteHelpLine(w, "completion bash|zsh|fish", "", "print what makes a shell complete these options")
	config.WriteHelpLine(w, "version, -v", "", "print the version and exit")
	config.WriteHelpLine(w, "help, -h", "", "print this text and exit")
}
