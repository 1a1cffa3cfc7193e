package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever gives a parameter something wrong is told what it takes.
func TestEveryParameterSaysWhatItTakes(t *testing.T) {
	for i := range params {
		p := &params[i]
		require.False(t, p.takes == "" && takenWords[p.Name] == "" && p.kind != onlyDefault, "what does %s take?", p.Name)
	}
}
