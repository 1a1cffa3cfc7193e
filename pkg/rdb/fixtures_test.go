package rdb

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/store"
)

// fixture returns a file that a real Redis 7.0.15 has written.
func fixture(t testing.TB, name string) []byte {
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return b
}

// load reads a snapshot into a store that keeps expired keys.
func load(t testing.TB, b []byte) *store.Store {
	s := store.New(16)
	s.Expiry = store.KeepExpired
	_, err := Load(bytes.NewReader(b), s)
	require.NoError(t, err)
	return s
}

// The digests are what real Redis says of its files (DEBUG DIGEST).
func TestFixtures(t *testing.T) {
	for name, digest := range map[string]string{
		"all_types_v10.rdb":      "f905059834fc6c10f40fa82f4549720397346188",
		"minimal_writer_v10.rdb": "fcc8c8e42c20e9e5badec88e5d8724fe24b28b39",
	} {
		require.Equal(t, digest, load(t, fixture(t, name)).Digest().String(), name)
	}
}

// What a real Redis has written is loaded here, written, and loaded by a real Redis again, which
// must see no difference in anything it can be asked.
func TestFixturesThereAndBack(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"all_types_v10.rdb", nil}, {"all_types_nolzf_v10.rdb", nil}, {"all_types_lru_v10.rdb", nil},
		{"all_types_lfu_v10.rdb", nil}, {"minimal_writer_v10.rdb", nil}, {"ql_plain_v10.rdb", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			theirs := fixture(t, c.name)
			s := store.New(16)
			s.Expiry = store.KeepExpired
			var ours bytes.Buffer
			w := NewWriter(&ours)
			var n Loaded
			h := Into(s, &n)
			h.Function = func(source []byte) error { return w.Function(string(source)) }
			require.NoError(t, NewReader(bytes.NewReader(theirs)).Read(h))
			writeAll(t, w, s)

			want := startRedis(t, theirs, c.args...).state()
			require.Equal(t, want["digest"], s.Digest().String())
			checkRDB(t, ours.Bytes())
			require.Equal(t, want, startRedis(t, ours.Bytes(), c.args...).state())
			require.Equal(t, s.Digest(), load(t, ours.Bytes()).Digest())
			require.LessOrEqual(t, float64(ours.Len()), 1.05*float64(len(theirs)), "as well compressed as theirs")
		})
	}
}

// writeAll writes a store behind what the writer has been given already.
func writeAll(t testing.TB, w *Writer, s *store.Store) {
	for i := range s.Len() {
		db := s.DB(i)
		if db.Len() == 0 {
			continue
		}
		require.NoError(t, w.SelectDB(i, db.Len(), db.Expires()))
		db.Each(func(e *store.Entry) bool {
			require.NoError(t, w.Entry(e.Key(), e.Value(), db.ExpireAt(e)))
			return true
		})
	}
	require.NoError(t, w.Close())
}

// A module's data beside the keys is skipped and reported; a key that only a module can make
// sense of is not, since the data set would not be the same without it.
func TestModuleData(t *testing.T) {
	var modules []string
	err := NewReader(bytes.NewReader(fixture(t, "module_aux_v10.rdb"))).Read(Handler{
		ModuleAux: func(m string) error {
			modules = append(modules, m)
			return nil
		},
	})
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorContains(t, err, "no matching module type 'test__rdb'")
	require.Equal(t, []string{"test__rdb"}, modules)
}
