package course

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHoles(t *testing.T) {
	got, names, err := Holes("a\n\t// region: the piece\n\tb\n\t// endregion\nc\n")
	require.NoError(t, err)
	require.Equal(t, []string{"the piece"}, names)
	require.Equal(t, "a\n\t// >>> write this: the piece (GUIDE.md, Build it)\nc\n", got)
	for _, bad := range []string{"// region: a\n", "// endregion\n", "// region: a\n// region: b\n// endregion\n// endregion\n"} {
		_, _, err := Holes(bad)
		require.Error(t, err, "%q", bad)
	}
}
