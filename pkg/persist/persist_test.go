package persist_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "byor/pkg/commands" // SET and GET
	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/persist"
	"byor/pkg/store"

	"github.com/stretchr/testify/require"
)

// host is a server without connections and replicas. It keeps no log.
type host struct{ eng *engine.Engine }

func (host) Verbose(string, ...any)      {}
func (host) Notice(string, ...any)       {}
func (host) Warn(string, ...any)         {}
func (host) Status(string)               {}
func (host) Recalm()                     {}
func (host) UsedMemory() int64           { return 12345 }
func (host) ReplicationAux() [][2]string { return nil }
func (host) Restored(persist.Header)     {}
func (host) Sending() bool               { return false }

func (h host) NewSession() *engine.Session {
	var c engine.Session
	h.eng.Init(&c, nil)
	c.Authed = true
	return &c
}

func (h host) TrustedCommand(args [][]byte) *engine.Command {
	return h.eng.Commands[string(bytes.ToLower(args[0]))]
}

// SELECT is the server's, and stands in each log.
func init() {
	engine.Register("connection", []engine.Command{
		{Name: "select", Arity: 2, Handler: func(c *engine.Call) { c.Reply.OK() }},
	})
}

// start returns an engine whose data are in the files of cfg.
func start(t *testing.T, cfg *config.Config) (do func(line string) string, fs *persist.Files) {
	t.Helper()
	e := engine.New(1, engine.Table(), nil, nil)
	e.Loading = true
	fs = persist.New(e, cfg, host{e})
	require.NoError(t, fs.Load())
	c := host{e}.NewSession()
	return func(line string) string {
		e.Lock()
		e.Execute(c, bytes.Fields([]byte(line)))
		at := fs.LogEnd()
		e.Unlock()
		fs.Commit(at)
		reply := string(c.Reply.Buf)
		c.Reply.Buf = c.Reply.Buf[:0]
		return strings.TrimSpace(reply)
	}, fs
}

// What an engine was told is there after a restart: by the log without a word, by the snapshot once it was saved.
func TestRestart(t *testing.T) {
	for _, appendOnly := range []bool{true, false} {
		cfg := config.Default()
		cfg.Dir, cfg.AppendOnly = t.TempDir(), appendOnly
		do, fs := start(t, cfg)
		require.Equal(t, "+OK", do("SET k v"))
		if !appendOnly {
			require.NoError(t, fs.Save())
			require.Equal(t, "+OK", do("SET k later"))
		}
		fs.Close()
		do, fs = start(t, cfg)
		require.Equal(t, "$1\r\nv", do("GET k"))
		fs.Close()
	}
}

// While a snapshot is read, INFO says how much memory its data took when it was written.
func TestInfoWhileLoading(t *testing.T) {
	cfg := config.Default()
	cfg.Dir = t.TempDir()
	_, fs := start(t, cfg)
	require.NoError(t, fs.Save())
	f, err := os.Open(filepath.Join(cfg.Dir, cfg.DBFilename))
	require.NoError(t, err)
	defer f.Close()
	fs.BeginLoading(1000)
	_, err = fs.ReadRDB(fs.Progress(f), fs.NewStore(store.KeepExpired))
	require.NoError(t, err)
	var info strings.Builder
	fs.Info(&info)
	require.Contains(t, info.String(), "loading_rdb_used_mem:12345\r\n")
	require.Contains(t, info.String(), "loading_total_bytes:1000\r\n")
	fs.EndLoading()
	info.Reset()
	fs.Info(&info)
	require.NotContains(t, info.String(), "loading_rdb_used_mem")
}
