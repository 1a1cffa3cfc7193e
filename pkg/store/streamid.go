package store

import (
	"bytes"
	"math"
	"strconv"
)

// StreamID names an entry of a stream: a Unix time in milliseconds and a sequence number within
// it. IDs are ordered by the one, then the other.
type StreamID struct{ Ms, Seq uint64 }

// MaxStreamID is the largest ID ("+" in commands). The smallest ("-") is the zero value.
var MaxStreamID = StreamID{math.MaxUint64, math.MaxUint64}

// compare returns -1, 0 or 1 as id is before, at or after o.
func (id StreamID) compare(o StreamID) int {
	switch {
	case id == o:
		return 0
	case id.Ms < o.Ms || id.Ms == o.Ms && id.Seq < o.Seq:
		return -1
	}
	return 1
}

// Less reports whether id is before o.
func (id StreamID) Less(o StreamID) bool { return id.compare(o) < 0 }

// IsZero reports whether id is 0-0.
func (id StreamID) IsZero() bool { return id == StreamID{} }

// Next returns the ID after id. It reports false when there is none.
func (id StreamID) Next() (StreamID, bool) {
	switch {
	case id.Seq < math.MaxUint64:
		return StreamID{id.Ms, id.Seq + 1}, true
	case id.Ms < math.MaxUint64:
		return StreamID{id.Ms + 1, 0}, true
	}
	return StreamID{}, false
}

// Prev returns the ID before id. It reports false when there is none.
func (id StreamID) Prev() (StreamID, bool) {
	switch {
	case id.Seq > 0:
		return StreamID{id.Ms, id.Seq - 1}, true
	case id.Ms > 0:
		return StreamID{id.Ms - 1, math.MaxUint64}, true
	}
	return MaxStreamID, false
}

// Append appends the ID as "ms-seq".
func (id StreamID) Append(dst []byte) []byte {
	dst = append(strconv.AppendUint(dst, id.Ms, 10), '-')
	return strconv.AppendUint(dst, id.Seq, 10)
}

// String returns the ID as "ms-seq".
func (id StreamID) String() string { return string(id.Append(nil)) }

// ParseStreamID parses "ms-seq", or "ms" alone, which stands for ms-missingSeq. Like C it sees nothing
// behind a NUL.
func ParseStreamID(b []byte, missingSeq uint64) (StreamID, bool) {
	if len(b) > 127 {
		return StreamID{}, false
	}
	b, _, _ = bytes.Cut(b, []byte{0})
	msPart, seqPart, hasSeq := bytes.Cut(b, []byte("-"))
	ms, ok := parseUint(msPart)
	seq := missingSeq
	if ok && hasSeq {
		seq, ok = parseUint(seqPart)
	}
	return StreamID{ms, seq}, ok
}

// parseUint is as lenient as the strtoull that Redis uses here: leading spaces, a plus and
// leading zeros pass, and a negative number wraps around. Redis refuses only those that are written
// as it would write them itself.
func parseUint(b []byte) (uint64, bool) {
	if len(b) > 1 && b[0] == '-' && b[1] >= '1' {
		if _, err := strconv.ParseInt(string(b), 10, 64); err == nil {
			return 0, false
		}
	}
	for len(b) > 0 && (b[0] == ' ' || b[0] >= '\t' && b[0] <= '\r') {
		b = b[1:]
	}
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	if negative {
		n = -n
	}
	return n, err == nil
}
