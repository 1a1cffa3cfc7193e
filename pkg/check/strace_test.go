package check_test

import (
	"testing"

	"byor/pkg/check"

	"github.com/stretchr/testify/require"
)

func TestJoinResumed(t *testing.T) {
	require.Equal(t, "2 write(3)\n1 fsync() = 0",
		check.JoinResumed("1 fsync(3 <unfinished ...>\n2 write(3)\n1 <... fsync resumed>) = 0"))
}
