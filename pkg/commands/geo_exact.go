package commands

import "math"

// The distance that STOREDIST keeps as a score. A real replica works it out anew with the C library,
// whose sine, cosine and arc sine are nearly always the nearest double; Go's are one off now and then.
// That shows in the seventeenth digit of the score, and so in the digest of the data. Here the three
// are taken with twice the digits and rounded once. It costs some microseconds, so searches go without.

// twice is a number with twice the digits of a double: the sum of both, of which lo is the smaller.
type twice struct{ hi, lo float64 }

func sumOf(a, b float64) twice {
	s := a + b
	t := s - a
	return twice{s, (a - (s - t)) + (b - t)}
}

func (x twice) plus(y twice) twice {
	s := sumOf(x.hi, y.hi)
	return sumOf(s.hi, s.lo+x.lo+y.lo)
}

func (x twice) times(y twice) twice {
	p := x.hi * y.hi
	return sumOf(p, math.FMA(x.hi, y.hi, -p)+(x.hi*y.lo+x.lo*y.hi))
}

func (x twice) over(d float64) twice {
	q := x.hi / d
	return sumOf(q, (math.FMA(-q, d, x.hi)+x.lo)/d)
}

// sinCos returns the sine and the cosine of x by their Taylor series, which end soon since x is made
// small first: it is at most a few quarter turns.
func sinCos(x float64) (sin, cos twice) {
	const quarter, rest, restOfRest = 1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33 // π/2
	k := math.Round(x / quarter)
	r := sumOf(x, -k*quarter)
	r = r.plus(sumOf(-k*rest, -k*restOfRest))
	minusSquare := r.times(r)
	minusSquare = twice{-minusSquare.hi, -minusSquare.lo}
	series := func(term twice, n float64) (sum twice) {
		for ; math.Abs(term.hi) > 1e-40; n += 2 {
			sum = sum.plus(term)
			term = term.times(minusSquare).over(n).over(n + 1)
		}
		return sum
	}
	sin, cos = series(r, 2), series(twice{1, 0}, 1)
	for turns := int(k) & 3; turns > 0; turns-- {
		sin, cos = cos, twice{-sin.hi, -sin.lo}
	}
	return sin, cos
}

// arcsin returns the arc sine of x: Go's, mended by one step of Newton's.
func arcsin(x float64) float64 {
	guess := math.Asin(x)
	sin, cos := sinCos(guess)
	return guess + ((x-sin.hi)-sin.lo)/cos.hi
}

// exactDistance is geoDistance with its sines, cosines and arc sine rounded once.
func exactDistance(a, b geoPos) float64 {
	s, _ := sinCos((radians(b.lon) - radians(a.lon)) / 2)
	v := s.hi
	if v == 0 {
		return latDistance(a, b)
	}
	lat1, lat2 := radians(a.lat), radians(b.lat)
	s, _ = sinCos((lat2 - lat1) / 2)
	_, cos1 := sinCos(lat1)
	_, cos2 := sinCos(lat2)
	u := s.hi
	return 2 * earthRadius * arcsin(math.Sqrt(u*u+cos1.hi*cos2.hi*v*v))
}
