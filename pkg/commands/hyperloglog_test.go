package commands

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzHyperLogLog(f *testing.F) {
	f.Add(newHLL(), []byte("a"))
	f.Fuzz(func(t *testing.T, b, element []byte) {
		b = append([]byte{}, b...)
		if !isHLL(b) {
			return
		}
		whole := hllEach(b, func(int, byte) {}) == nil
		b, _, err := hllAdd(b, element, 3000)
		require.True(t, isHLL(b))
		if whole {
			require.NoError(t, err)
			require.NoError(t, hllEach(b, func(i int, v byte) { require.Less(t, i, hllRegisters) }))
			index, value := hllRegister(element)
			require.NoError(t, hllEach(b, func(i int, v byte) { require.True(t, i != index || v >= value) }))
		}
	})
}
