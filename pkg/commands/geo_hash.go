package commands

import (
	"math"
	"math/bits"
)

// Geographical positions as Redis keeps them (geohash.c, geohash_helper.c): a position is the score
// of its member in a sorted set. Longitude and latitude are halved 26 times each, and the bits that
// say which half interleaved to 52, which a double holds exactly. Positions near each other mostly
// share their leading bits, so a square is a range of scores, and a search looks at the square
// that its centre is in and at the eight around it.

const (
	geoStepMax  = 26
	geoLongMax  = 180.0
	geoLatMax   = 85.05112878 // as far as a Mercator projection is square
	earthRadius = 6372797.560856
	mercatorMax = 20037726.37 // half the equator, in meters
)

type geoPos struct{ lon, lat float64 }

// geoCell is a square: the first 2*step bits of a position.
type geoCell struct {
	bits uint64
	step uint
}

// geoBox is a square's limits, or those of a search.
type geoBox struct{ min, max geoPos }

// valid reports whether the position can be kept.
func (p geoPos) valid() bool {
	return p.lon >= -geoLongMax && p.lon <= geoLongMax && p.lat >= -geoLatMax && p.lat <= geoLatMax
}

// spread puts the bits of x at the even places, and squeeze takes them from there.
func spread(x uint32) uint64 {
	v := uint64(x)
	v = (v | v<<16) & 0x0000FFFF0000FFFF
	v = (v | v<<8) & 0x00FF00FF00FF00FF
	v = (v | v<<4) & 0x0F0F0F0F0F0F0F0F
	v = (v | v<<2) & 0x3333333333333333
	return (v | v<<1) & 0x5555555555555555
}

func squeeze(v uint64) uint32 {
	v &= 0x5555555555555555
	v = (v | v>>1) & 0x3333333333333333
	v = (v | v>>2) & 0x0F0F0F0F0F0F0F0F
	v = (v | v>>4) & 0x00FF00FF00FF00FF
	v = (v | v>>8) & 0x0000FFFF0000FFFF
	return uint32(v | v>>16)
}

// cellOf returns the square that p is in. Latitudes reach from -latMax to latMax.
func cellOf(p geoPos, latMax float64, step uint) geoCell {
	lat := (p.lat + latMax) / (2 * latMax) * float64(uint64(1)<<step)
	lon := (p.lon + geoLongMax) / (2 * geoLongMax) * float64(uint64(1)<<step)
	return geoCell{spread(uint32(lat)) | spread(uint32(lon))<<1, step}
}

// score returns the position's place in a sorted set.
func (p geoPos) score() uint64 { return cellOf(p, geoLatMax, geoStepMax).bits }

// scores returns the range of scores in the square, without the last.
func (c geoCell) scores() (from, to float64) {
	shift := 52 - 2*c.step
	return float64(c.bits << shift), float64((c.bits + 1) << shift)
}

// box returns the limits of the square.
func (c geoCell) box() geoBox {
	lat, lon := squeeze(c.bits), squeeze(c.bits>>1)
	at := func(i uint32, limit float64) float64 {
		return -limit + float64(i)/float64(uint64(1)<<c.step)*(2*limit)
	}
	return geoBox{
		geoPos{at(lon, geoLongMax), at(lat, geoLatMax)},
		geoPos{at(lon+1, geoLongMax), at(lat+1, geoLatMax)},
	}
}

// posOf returns the middle of the smallest square, which is what a score says of a position.
func posOf(score float64) geoPos {
	b := geoCell{uint64(score), geoStepMax}.box()
	return geoPos{
		max(-geoLongMax, min(geoLongMax, (b.min.lon+b.max.lon)/2)),
		max(-geoLatMax, min(geoLatMax, (b.min.lat+b.max.lat)/2)),
	}
}

// move returns the square dx to the east and dy to the north, which are -1, 0 or 1. Beyond the last square of a
// direction comes the first. A position of exactly 180 degrees is in a square behind the last one, and stays there
// unless it moves to the east or west, as in Redis: a search there does not see what is north and south of it.
func (c geoCell) move(dx, dy int) geoCell {
	size := uint64(1)<<c.step - 1
	lon, lat := uint64(squeeze(c.bits>>1)), uint64(squeeze(c.bits))
	if dx != 0 {
		lon = (lon + uint64(dx)) & size
	}
	if dy != 0 {
		lat = (lat + uint64(dy)) & size
	}
	return geoCell{spread(uint32(lat)) | spread(uint32(lon))<<1, c.step}
}

func radians(deg float64) float64 { return deg * (math.Pi / 180) }
func degrees(rad float64) float64 { return rad / (math.Pi / 180) }

// geoDistance returns the distance in meters over the surface of a sphere (the haversine formula).
func geoDistance(a, b geoPos) float64 {
	v := math.Sin((radians(b.lon) - radians(a.lon)) / 2)
	if v == 0 {
		return latDistance(a, b)
	}
	lat1, lat2 := radians(a.lat), radians(b.lat)
	u := math.Sin((lat2 - lat1) / 2)
	return 2 * earthRadius * math.Asin(math.Sqrt(u*u+math.Cos(lat1)*math.Cos(lat2)*v*v))
}

func latDistance(a, b geoPos) float64 {
	return earthRadius * math.Abs(radians(b.lat)-radians(a.lat))
}

// geoShape is what a search covers: a circle, or a box of width and height. Lengths are in the unit
// that meters belong to.
type geoShape struct {
	center        geoPos
	isBox         bool
	radius        float64
	width, height float64
	unit          float64 // meters
}

// distance returns how far p is from the center, in meters, and whether it is inside.
func (s *geoShape) distance(p geoPos) (float64, bool) {
	if !s.isBox {
		d := geoDistance(s.center, p)
		return d, d <= s.radius*s.unit
	}
	if latDistance(p, s.center) > s.height*s.unit/2 ||
		geoDistance(p, geoPos{s.center.lon, p.lat}) > s.width*s.unit/2 {
		return 0, false
	}
	return geoDistance(s.center, p), true
}

// bounds returns a box around the shape.
func (s *geoShape) bounds() geoBox {
	height, width := s.radius*s.unit, s.radius*s.unit
	if s.isBox {
		height, width = s.unit*(s.height/2), s.unit*(s.width/2)
	}
	c := s.center
	dLat := degrees(height / earthRadius)
	edge := c.lat + dLat
	if c.lat < 0 {
		edge = c.lat - dLat
	}
	dLon := degrees(width / earthRadius / math.Cos(radians(edge)))
	return geoBox{geoPos{c.lon - dLon, c.lat - dLat}, geoPos{c.lon + dLon, c.lat + dLat}}
}

// step estimates how fine squares may be for the shape to fit into nine of them.
func (s *geoShape) step() uint {
	r := s.radius
	if s.isBox {
		r = math.Sqrt(s.width/2*(s.width/2) + s.height/2*(s.height/2))
	}
	r *= s.unit
	if r == 0 {
		return geoStepMax
	}
	step := -1
	for ; r < mercatorMax; r *= 2 {
		step++
	}
	if lat := math.Abs(s.center.lat); lat > 80 {
		step -= 2
	} else if lat > 66 { // squares are narrow towards the poles
		step--
	}
	return uint(max(1, min(geoStepMax, step)))
}

// cells returns the squares that cover the shape, in the order in which Redis looks at them.
func (s *geoShape) cells() []geoCell {
	step, want := s.step(), s.bounds()
	middle := cellOf(s.center, geoLatMax, step)
	if step > 1 && (middle.move(0, 1).box().max.lat < want.max.lat || middle.move(0, -1).box().min.lat > want.min.lat ||
		middle.move(1, 0).box().max.lon < want.max.lon || middle.move(-1, 0).box().min.lon > want.min.lon) {
		step--
		middle = cellOf(s.center, geoLatMax, step)
	}
	have := middle.box()
	cells := []geoCell{middle}
	for _, d := range [][2]int{{0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}} {
		if step >= 2 && (d[1] < 0 && have.min.lat < want.min.lat || d[1] > 0 && have.max.lat > want.max.lat ||
			d[0] < 0 && have.min.lon < want.min.lon || d[0] > 0 && have.max.lon > want.max.lon) {
			continue // the shape ends inside the square in the middle
		}
		// Large squares meet their neighbours on the other side of the earth.
		if c := middle.move(d[0], d[1]); len(cells) == 1 || c != cells[len(cells)-1] {
			cells = append(cells, c)
		}
	}
	return cells
}

// geohash returns the standard geohash of a position, 11 characters of 5 bits each, the last of
// which are always zero. The standard halves latitudes from 90 degrees on.
func (p geoPos) geohash() string {
	const alphabet = "0123456789bcdefghjkmnpqrstuvwxyz"
	v := bits.RotateLeft64(cellOf(p, 90, geoStepMax).bits, 64-52)
	var out [11]byte
	for i := range out {
		out[i] = alphabet[0]
		if i < 10 {
			out[i] = alphabet[v>>(64-5*(i+1))&31]
		}
	}
	return string(out[:])
}
