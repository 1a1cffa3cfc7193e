package main

// match reports whether s matches pattern, in the language of Redis (util.c, stringmatchlen):
//
//	?        one byte
//	*        any bytes, also none
//	[abc]    one of these bytes
//	[a-z]    one byte of this range
//	[^abc]   one byte that is none of these
//	\x       x itself
//
// A star may have taken too few bytes. Then only the latest star needs to take one more: whatever an
// earlier one could take, the latest can take as well. So there are two nested walks at worst. A
// recursion would double its cost with each star, and "a*a*a*a*b" comes from clients.
func match(pattern, s string) bool {
	p, i := 0, 0
	star, starI := -1, 0 // after the latest star, and where in s the rest of the pattern was tried
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			star, starI = p, i
			continue
		}
		if p < len(pattern) {
			if next, ok := matchByte(pattern, p, s[i]); ok {
				p, i = next, i+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		starI++
		p, i = star, starI
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchByte matches c against the element at pattern[p] and returns where the next one begins.
func matchByte(pattern string, p int, c byte) (next int, ok bool) {
	switch {
	case pattern[p] == '?':
		return p + 1, true
	case pattern[p] == '\\' && p+1 < len(pattern):
		return p + 2, pattern[p+1] == c
	case pattern[p] != '[':
		return p + 1, pattern[p] == c
	}
	p++
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	for ; p < len(pattern) && pattern[p] != ']'; p++ {
		lo, hi := pattern[p], pattern[p]
		switch {
		case lo == '\\' && p+1 < len(pattern):
			p++
			lo, hi = pattern[p], pattern[p]
		case p+2 < len(pattern) && pattern[p+1] == '-':
			hi = pattern[p+2]
			p += 2
		}
		ok = ok || min(lo, hi) <= c && c <= max(lo, hi)
	}
	return min(p+1, len(pattern)), ok != not
}
