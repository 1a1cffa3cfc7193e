package pubsub

// The glob language of Redis (util.c, stringmatchlen):
//
//	*        any bytes, also none
//	?        one byte
//	[abc]    one of these bytes; [a-z] a range; [^a] none of these
//	\x       the byte x itself, inside a class too
//
// Redis's corner cases are part of the language and are kept: a class that is
// never closed ends with the pattern, a range may be written backwards, and an
// empty string is matched by an empty pattern only, not even by "*".
//
// Redis recurses at every star. Since every other element consumes exactly one
// byte, only the last star can be worth widening, so two saved positions are
// enough: no recursion, and at worst len(pattern)·len(s) steps instead of a
// number that grows exponentially with the stars.

// Match reports whether the whole of s matches the Redis glob pattern,
// byte for byte and case-sensitively. It does not allocate.
func Match[P, S string | []byte](pattern P, s S) bool { return match(pattern, s, false) }

// MatchFold is Match with ASCII letters compared without regard to case, as
// Redis does for the names of settings and commands.
func MatchFold[P, S string | []byte](pattern P, s S) bool { return match(pattern, s, true) }

func match[P, S string | []byte](pattern P, s S, fold bool) bool {
	if len(s) == 0 {
		return len(pattern) == 0
	}
	p, i := 0, 0
	star, starS := -1, 0 // just behind the last star seen, and where in s its rest was tried
	for i < len(s) {
		next, ok := p, false
		if p < len(pattern) {
			if pattern[p] == '*' {
				p++
				star, starS = p, i
				continue
			}
			next, ok = matchOne(pattern, p, s[i], fold)
		} else if star >= 0 && star == len(pattern) {
			return true // a star at the end takes the rest
		}
		if ok {
			p, i = next, i+1
			continue
		}
		if star < 0 {
			return false
		}
		starS++
		p, i = star, starS
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches the one-byte element that starts at pattern[p] (not a star)
// against c and returns the position behind the element.
func matchOne[P string | []byte](pattern P, p int, c byte, fold bool) (next int, ok bool) {
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return matchClass(pattern, p+1, c, fold)
	case '\\':
		if p+1 < len(pattern) {
			p++
		}
	}
	if fold {
		return p + 1, lower(pattern[p]) == lower(c)
	}
	return p + 1, pattern[p] == c
}

// matchClass matches c against the class whose first byte (behind the '[') is
// pattern[p].
func matchClass[P string | []byte](pattern P, p int, c byte, fold bool) (next int, ok bool) {
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	for ; p < len(pattern) && pattern[p] != ']'; p++ {
		left := len(pattern) - p
		switch {
		case pattern[p] == '\\' && left >= 2:
			p++
			ok = ok || pattern[p] == c
		case left >= 3 && pattern[p+1] == '-':
			ok = ok || inRange(pattern[p], pattern[p+2], c, fold)
			p += 2
		case fold:
			ok = ok || lower(pattern[p]) == lower(c)
		default:
			ok = ok || pattern[p] == c
		}
	}
	if p < len(pattern) {
		p++ // the ']'
	}
	return p, ok != not
}

// inRange compares as C's signed char does on amd64, where a byte of 128 and
// more is negative: this decides ranges that mix ASCII with other bytes.
func inRange(from, to, c byte, fold bool) bool {
	lo, hi := int8(from), int8(to)
	if lo > hi {
		lo, hi = hi, lo
	}
	if fold {
		lo, hi, c = int8(lower(byte(lo))), int8(lower(byte(hi))), lower(c)
	}
	return lo <= int8(c) && int8(c) <= hi
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
