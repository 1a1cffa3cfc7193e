package config

import (
	"fmt"
	"io"
)

// RedisVersion is the release of Redis whose commands, files and replication the server speaks.
const RedisVersion = "7.0.15"

// helpGroups are the parameters that people look for, in words of our own. Their defaults are the table's.
var helpGroups = []struct {
	title  string
	params [][2]string // name, meaning
}{
	{"Network", [][2]string{
		{"port", "TCP port, 0 for none"}, {"bind", "addresses to listen on; one that begins with - may be missing"}, {"unixsocket", "path of a socket file"},
		{"requirepass", "password that clients need"}, {"protected-mode", "without a password let in this machine alone"},
		{"maxclients", "connections at a time"}, {"timeout", "seconds a client may be idle, 0 for ever"},
		{"io-threads", "event loops on Linux; 0 is a goroutine a connection"},
	}},
	{"TLS", [][2]string{
		{"tls-port", "port for TLS, 0 for none"}, {"tls-cert-file", "certificate to show"}, {"tls-key-file", "its key"},
		{"tls-ca-cert-file", "who signs the certificates of others"}, {"tls-auth-clients", "whether clients have to show one: yes, no or optional"},
		{"tls-replication", "connect to the master by TLS"},
	}},
	{"Data", [][2]string{
		{"databases", "how many there are"}, {"maxmemory", "bytes of data, such as 512mb; 0 is no limit"},
		{"maxmemory-policy", "what goes when there is no room: noeviction, allkeys-lru, volatile-ttl and others"},
	}},
	{"On disk", [][2]string{
		{"dir", "where the files are"}, {"dbfilename", "name of the snapshot"}, {"save", "when to save: seconds and changes, in pairs; '' is never"},
		{"appendonly", "keep an append-only file"}, {"appendfsync", "when that is forced to the disk: always, everysec or no"},
	}},
	{"Replication", [][2]string{
		{"replicaof", "follow a master: 'host port'"}, {"masterauth", "the master's password"}, {"replica-read-only", "refuse writes as a replica"},
		{"repl-backlog-size", "bytes of the stream kept for replicas that come back"},
	}},
	{"Watching it", [][2]string{
		{"loglevel", "debug, verbose, notice or warning"}, {"logfile", "where the log goes; '' is the standard output"},
		{"slowlog-log-slower-than", "microseconds from which a command is slow"}, {"latency-monitor-threshold", "milliseconds from which LATENCY notes an event, 0 for none"},
	}},
	{"As a service", [][2]string{
		{"daemonize", "go to the background"}, {"pidfile", "a file for the process's number"},
		{"supervised", "who started it: no, systemd, upstart, or auto"}, {"syslog-enabled", "write the log to the system's as well"},
	}},
	{"Trust", [][2]string{
		{"enable-debug-command", "who may use DEBUG: no, yes or local"}, {"enable-protected-configs", "who may move files with CONFIG SET: no, yes or local"},
		{"rename-command", "another name for a command, '' for none"},
	}},
}

// Meaning returns in a few words what a parameter is for, "" for one that people rarely look for.
func Meaning(name string) string {
	for _, g := range helpGroups {
		for _, p := range g.params {
			if p[0] == name {
				return p[1]
			}
		}
	}
	return ""
}

// WriteHelp writes the most useful parameters in groups, with their defaults.
func WriteHelp(w io.Writer) {
	c := Default()
	for _, g := range helpGroups {
		fmt.Fprintf(w, "\n%s\n", g.title)
		for _, p := range g.params {
			def := ""
			if known := Find(p[0]); known != nil && p[0] != "dir" {
				def = known.Get(c)
			} else if p[0] == "dir" {
				def = "."
			}
			WriteHelpLine(w, p[0], def, p[1])
		}
	}
}

// WriteHelpLine writes a line of a help text: an option, its default if it has one, and what it means.
func WriteHelpLine(w io.Writer, name, def, meaning string) {
	if def != "" {
		meaning += " (" + def + ")"
	}
	fmt.Fprintf(w, "  --%-26s %s\n", name, meaning)
}
