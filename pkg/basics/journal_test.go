package basics

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
	"byor/pkg/store"
)

// openJournal opens the journal in dir as a server with nothing but the known commands does.
func openJournal(t *testing.T, dir string) (*Journal, *store.Store) {
	t.Helper()
	data, j := store.New(16), &Journal{}
	c := &tableClient{Client: Client{DB: data.DB(0), W: resp.NewWriter(nil)}}
	table := Extend(Table[*tableClient]{}, OnData)
	execute := func(args [][]byte) { table.Run(c, args, j.Propagate) }
	require.NoError(t, j.Open(&Options{Dir: dir, Policy: "always"}, data, rdbBase(data), c.W, execute))
	return j, data
}

type tableClient struct{ Client }

func set(key string) [][]byte { return [][]byte{[]byte("SET"), []byte(key), []byte("x")} }

func TestJournal(t *testing.T) {
	dir := t.TempDir()
	j, _ := openJournal(t, dir)
	j.Propagate(3, set("a"))
	j.Propagate(3, set("b"))
	j.Propagate(0, set("c"))
	j.Expired(3, "b")
	require.NoError(t, j.Close())

	j, data := openJournal(t, dir)
	defer j.Close()
	require.Equal(t, 1, data.DB(0).Len())
	require.Equal(t, 1, data.DB(3).Len(), "what was replayed is not appended once more, and b is gone")
}

// What a crash leaves may end with a SELECT whose command is torn off. The log has that database selected
// then, whatever the effects before were for.
func TestJournalDoesNotTrustTheLastEffect(t *testing.T) {
	dir := t.TempDir()
	j, _ := openJournal(t, dir)
	j.Propagate(0, set("a"))
	require.NoError(t, j.Close())
	logs, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	f, err := os.OpenFile(logs[0], os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.Write(append(resp.AppendCommandStrings(nil, "SELECT", "3"), "*3\r\n$3\r\nSE"...))
	require.NoError(t, err)
	require.NoError(t, f.Close())

	j, _ = openJournal(t, dir)
	j.Propagate(0, set("b"))
	require.NoError(t, j.Close())
	j, data := openJournal(t, dir)
	defer j.Close()
	require.Equal(t, 2, data.DB(0).Len())
	require.Zero(t, data.DB(3).Len())
}

// Without -appendonly there is nothing to write and nothing to wait for.
func TestNoJournal(t *testing.T) {
	var j Journal
	j.Propagate(0, set("a"))
	j.Append([]byte("x"))
	here, there := net.Pipe()
	w := resp.NewWriter(here)
	require.NoError(t, j.Reply(w))
	w.OK()
	go j.Reply(w)
	b := make([]byte, 5)
	_, err := there.Read(b)
	require.NoError(t, err)
	require.Equal(t, "+OK\r\n", string(b))
	require.NoError(t, j.Close())
}

func TestUnreadable(t *testing.T) {
	key := func() []byte { return []byte("k") }
	require.Equal(t, `key "k" is of type 18, a list: this step only knows strings`, Unreadable(18, key))
	never := func() []byte { t.Error("there is no key"); return nil }
	require.Equal(t, "0xf5 is neither an opcode nor a type (functions and modules are beyond this step)", Unreadable(0xf5, never))
}
