package rdb

import (
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/store"
)

// A file may say of all databases how large they are, and then go from one to the other: ours selects the database
// anew in each batch. What it has said still counts, or tables double on their way, which took half of a load.
func TestWhatAFileSaysOfADatabaseStays(t *testing.T) {
	s := store.New(3)
	var n Loaded
	l := newIntoStore(s, &n)
	for db, keys := range []uint64{1 << 40, 1000} {
		require.NoError(t, l.selectDB(db))
		require.NoError(t, l.resize(keys, 0))
	}
	for range 2 {
		require.NoError(t, l.selectDB(0))
		require.Equal(t, claim{1 << 30, reserveFirst}, *l.claim)
		require.NoError(t, l.selectDB(1))
		require.Equal(t, claim{1000, 1000}, *l.claim)
		require.NoError(t, l.selectDB(2))
		require.Equal(t, claim{}, *l.claim)
	}
	require.ErrorContains(t, l.selectDB(3), "more than 3 databases")
	require.NoError(t, l.selectDB(0))
	require.Equal(t, claim{1 << 30, reserveFirst}, *l.claim)
}
