package repl

import (
	"errors"
	"fmt"
	"strings"
)

// Filter is what a replica wants left out of its snapshot (REPLCONF rdb-filter-only). It is for tools that want a part
// of the data, such as redis-cli --functions-rdb. The zero value leaves nothing out.
type Filter struct {
	NoData      bool // no keys
	NoFunctions bool
}

// parseFilter reads the parts that are wanted: names between spaces, of which there is one so far. Errors have
// Redis's text.
func parseFilter(parts string) (Filter, error) {
	f := Filter{NoData: true, NoFunctions: true}
	for _, part := range strings.Fields(parts) {
		if !strings.EqualFold(part, "functions") {
			return Filter{}, fmt.Errorf("ERR Unsupported rdb-filter-only option: %s", part)
		}
		f.NoFunctions = false
	}
	return f, nil
}

var errNotInt = errors.New("ERR value is not an integer or out of range")

// ErrFilteredNeedsEOF is for a replica that wants a part of the data and cannot take a stream. The snapshots that go by
// a file are shared, so they are whole.
var ErrFilteredNeedsEOF = errors.New("ERR Filtered replica requires EOF capability")

// Filter returns what the replica wants left out, and ErrFilteredNeedsEOF if it cannot have it so.
func (r *Replica) Filter() (Filter, error) {
	if r.filter != (Filter{}) && !r.eof {
		return r.filter, ErrFilteredNeedsEOF
	}
	return r.filter, nil
}
