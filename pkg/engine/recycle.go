package engine

import "byor/pkg/resp"

// A large value that another replaces goes back to where large arguments come from, so that a cache whose values are
// refreshed needs no new memory for them (see resp.Recycle). That must wait until the unit is over. The value may have
// come in the same command (MSET with a key twice), whose effect is encoded when its handler is done.

// mostSpare bounds what one unit holds for that: a script may replace a value a million times.
const mostSpare = 64

func (e *Engine) replaced(b []byte) {
	if len(b) >= resp.LargeBulk && len(e.spare) < mostSpare {
		e.spare = append(e.spare, b)
	}
}

// recycle is for the end of a unit.
func (e *Engine) recycle() {
	for i, b := range e.spare {
		resp.Recycle(b)
		e.spare[i] = nil
	}
	e.spare = e.spare[:0]
}
