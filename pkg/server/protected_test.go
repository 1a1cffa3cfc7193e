//go:build unix

package server

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"byor/pkg/config"
	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// What lets a client choose where the server writes, or run what was not meant to be run, is forbidden
// unless the server was started with leave for it; and no file's name leads out of dir.
func TestProtectedCommands(t *testing.T) {
	for _, who := range []string{"no", "local", "yes"} {
		var servers []*testConn
		dir := t.TempDir()
		options := []string{"--enable-protected-configs", who, "--enable-debug-command", who, "--enable-module-command", who, "--dir", dir}
		_, ours := startServer(t, options...)
		servers = append(servers, dial(t, ours))
		if redistest.Has("redis-server") {
			servers = append(servers, dial(t, redistest.Start(t, dir, options...)))
		}
		for i, c := range servers {
			refused, wrong := "+OK", "-ERR CONFIG SET failed (possibly related to argument '%s') - %[1]s can't be a path, just a filename"
			if who == "no" {
				refused = "-ERR CONFIG SET failed (possibly related to argument '%s') - can't set protected config"
				wrong = refused
			}
			for _, in := range []struct{ line, about, want string }{
				{"CONFIG SET dir " + dir, "dir", refused},
				{"CONFIG SET dbfilename x.rdb", "dbfilename", refused},
				{"CONFIG SET dbfilename ../x.rdb", "dbfilename", wrong},
				{"CONFIG SET maxmemory 0 dbfilename a/b", "dbfilename", wrong},
			} {
				want := in.want
				if want != "+OK" {
					want = fmt.Sprintf(want, in.about)
				}
				require.Equal(t, want, show(c.do(in.line)), "server %d, %s: %s", i, who, in.line)
				c.want("MULTI", "+OK")
				c.want(in.line, "+QUEUED")
				require.Equal(t, "*["+want+"]", show(c.do("EXEC")), "server %d, %s: %s", i, who, in.line)
			}
			for _, name := range []string{"enable-protected-configs", "enable-debug-command", "enable-module-command", "appendfilename", "appenddirname", "logfile", "unixsocket", "aclfile", "pidfile"} {
				c.want("CONFIG SET "+name+" yes", "-ERR CONFIG SET failed (possibly related to argument '"+name+"') - can't set immutable config")
			}
			module := map[string]string{"MODULE LOAD /nosuch.so": "Error loading the extension. Please check the server logs.",
				"MODULE UNLOAD nosuch": "Error unloading module: no such module with that name"}
			for line, want := range module {
				if who == "no" {
					want = "MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."
				}
				c.want(line, "-ERR "+want)
			}
			c.want("CONFIG SET HZ x", "-ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer")
			require.Equal(t, who != "no", show(c.do("DEBUG JMAP")) != "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.")
		}
	}
}

// "local" is who comes from this machine, by whatever transport that shows it. A pipe does not: it is a
// browser, from wherever.
func TestProtectedFromElsewhere(t *testing.T) {
	sock := filepath.Join(shortDir(t), "s")
	s, _ := startServer(t, "--enable-protected-configs", "local", "--unixsocket", sock)
	ours, theirs := net.Pipe()
	go s.ServeConn(theirs)
	pipe := over(t, ours)
	pipe.want("CONFIG SET dir /", "-ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config")
	ours.Close()
}

// At start the same names are refused, with Redis's reasons.
func TestFileNamesAreConfined(t *testing.T) {
	for option, reason := range map[string]string{
		"dbfilename ../x":                "dbfilename can't be a path, just a filename",
		"dbfilename /etc/x":              "dbfilename can't be a path, just a filename",
		"appendfilename a/b":             "appendfilename can't be a path, just a filename",
		"appendfilename ''":              "appendfilename can't be empty",
		"appenddirname ../b":             "appenddirname can't be a path, just a dirname",
		"appenddirname ''":               "appenddirname can't be empty",
		"enable-protected-configs maybe": "argument(s) must be one of the following: no, yes, local",
	} {
		args := words(t, "--"+option)
		require.ErrorContains(t, config.Default().ParseArgs(args), reason, option)
		if redistest.Has("redis-server") {
			out, err := execOutput("redis-server", append([]string{"--port", "0"}, args...)...)
			require.Error(t, err)
			require.Contains(t, out, reason, option)
		}
	}
}
