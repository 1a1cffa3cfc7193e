package server

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"byor/pkg/store"
)

func init() {
	key := Keys{1, 1, 1}
	register("geo", []Command{
		{Name: "geoadd", Arity: -5, Flags: Write | DenyOOM, Keys: key, Handler: cmdGeoadd},
		{Name: "geopos", Arity: -2, Flags: ReadOnly, Keys: key, Handler: cmdGeopos},
		{Name: "geodist", Arity: -4, Flags: ReadOnly, Keys: key, Handler: cmdGeodist},
		{Name: "geohash", Arity: -2, Flags: ReadOnly, Keys: key, Handler: cmdGeohash},
		{Name: "geosearch", Arity: -7, Flags: ReadOnly, Keys: key, Handler: cmdGeosearch},
		{Name: "geosearchstore", Arity: -8, Flags: Write | DenyOOM, Keys: Keys{1, 2, 1}, Handler: cmdGeosearch},
		{Name: "georadius", Arity: -6, Flags: Write | DenyOOM | MovableKeys, Keys: key, KeysOf: georadiusKeys(6), Handler: func(c *Client) { c.georadius(6) }},
		{Name: "georadius_ro", Arity: -6, Flags: ReadOnly, Keys: key, Handler: func(c *Client) { c.georadius(6) }},
		{Name: "georadiusbymember", Arity: -5, Flags: Write | DenyOOM | MovableKeys, Keys: key, KeysOf: georadiusKeys(5), Handler: func(c *Client) { c.georadius(5) }},
		{Name: "georadiusbymember_ro", Arity: -5, Flags: ReadOnly, Keys: key, Handler: func(c *Client) { c.georadius(5) }},
	})
}

// georadiusKeys finds the key behind STORE or STOREDIST, too; options begin at argument from.
func georadiusKeys(from int) func(args [][]byte) []int {
	return func(args [][]byte) []int {
		pos := []int{1}
		for i := from; i+1 < len(args); i++ {
			if isWord(args[i], "store") || isWord(args[i], "storedist") {
				i++
				pos = append(pos, i)
			}
		}
		return pos
	}
}

// geoPos parses arguments i and i+1 as longitude and latitude.
func (c *Client) geoPos(i int) (p geoPos, ok bool) {
	if p.lon, ok = c.floatArg(i); !ok {
		return p, false
	}
	if p.lat, ok = c.floatArg(i + 1); !ok {
		return p, false
	}
	if !p.valid() {
		c.fail("ERR invalid longitude,latitude pair " + cFloat(p.lon) + "," + cFloat(p.lat))
		return p, false
	}
	return p, true
}

// geoUnit parses argument i as a unit of length and returns it in meters.
func (c *Client) geoUnit(i int) (float64, bool) {
	for name, meters := range map[string]float64{"m": 1, "km": 1000, "ft": 0.3048, "mi": 1609.34} {
		if c.is(i, name) {
			return meters, true
		}
	}
	c.fail("ERR unsupported unit provided. please use M, KM, FT, MI")
	return 0, false
}

// cFloat prints f as C's %f.
func cFloat(f float64) string {
	if math.IsInf(f, 0) {
		return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'f', 6, 64), "+"))
	}
	return strconv.FormatFloat(f, 'f', 6, 64)
}

// floatOr is floatArg with an error text of its own.
func (c *Client) floatOr(i int, text string) (float64, bool) {
	f, ok := parseFloat(c.args[i])
	if !ok {
		c.fail(text)
	}
	return f, ok
}

// geoDouble replies a coordinate.
func (c *Client) geoDouble(f float64) {
	text := newLongDouble(f).format()
	if c.w.Proto != 3 {
		c.w.Bulk(text)
		return
	}
	c.w.Raw(append(append([]byte{','}, text...), '\r', '\n'))
}

func (c *Client) geoPair(p geoPos) {
	c.w.Array(2)
	c.geoDouble(p.lon)
	c.geoDouble(p.lat)
}

func (c *Client) geoLength(meters, unit float64) {
	c.w.BulkString(strconv.FormatFloat(meters/unit, 'f', 4, 64))
}

// cmdGeoadd is a ZADD with the positions turned into scores.
func cmdGeoadd(c *Client) {
	first, nx, xx := 2, false, false
	for ; first < len(c.args); first++ {
		nx, xx = nx || c.is(first, "nx"), xx || c.is(first, "xx")
		if !c.is(first, "nx") && !c.is(first, "xx") && !c.is(first, "ch") {
			break
		}
	}
	if (len(c.args)-first)%3 != 0 || nx && xx {
		c.fail(errSyntax)
		return
	}
	args := append([][]byte{[]byte("zadd")}, c.args[1:first]...)
	for i := first; i < len(c.args); i += 3 {
		p, ok := c.geoPos(i)
		if !ok {
			return
		}
		args = append(args, strconv.AppendUint(nil, p.score(), 10), c.args[i+2])
	}
	c.args = args
	dirty := c.s.dirty
	if cmdZadd(c); c.s.dirty != dirty {
		c.replicate(args...)
	}
}

// memberPos returns the position of a member.
func memberPos(z *store.ZSet, member []byte) (geoPos, bool) {
	if z == nil {
		return geoPos{}, false
	}
	score, ok := z.Score(member)
	return posOf(score), ok
}

func cmdGeopos(c *Client) {
	z, ok := fetch[*store.ZSet](c, c.args[1])
	if !ok {
		return
	}
	c.w.Array(len(c.args) - 2)
	for _, m := range c.args[2:] {
		if p, ok := memberPos(z, m); ok {
			c.geoPair(p)
		} else {
			c.w.NullArray()
		}
	}
}

func cmdGeohash(c *Client) {
	z, ok := fetch[*store.ZSet](c, c.args[1])
	if !ok {
		return
	}
	c.w.Array(len(c.args) - 2)
	for _, m := range c.args[2:] {
		if p, ok := memberPos(z, m); ok {
			c.w.BulkString(p.geohash())
		} else {
			c.w.Null()
		}
	}
}

func cmdGeodist(c *Client) {
	unit := 1.0
	switch n := len(c.args); {
	case n == 5:
		var ok bool
		if unit, ok = c.geoUnit(4); !ok {
			return
		}
	case n > 5:
		c.fail(errSyntax)
		return
	}
	z, ok := fetch[*store.ZSet](c, c.args[1])
	if !ok {
		return
	}
	a, okA := memberPos(z, c.args[2])
	b, okB := memberPos(z, c.args[3])
	if !okA || !okB {
		c.w.Null()
		return
	}
	c.geoLength(geoDistance(a, b), unit)
}

// geoQuery is a parsed search.
type geoQuery struct {
	z                             *store.ZSet // nil when the key is absent
	shape                         geoShape
	fromMember, fromPos           bool
	byRadius, byBox               bool
	withDist, withHash, withCoord bool
	asc, desc, any                bool
	count                         int64
	dest                          []byte // nil: the points are replied
	storeDist                     bool
}

// georadius is the GEORADIUS family, whose options begin at argument from.
func (c *Client) georadius(from int) {
	var q geoQuery
	var ok bool
	if q.z, ok = fetch[*store.ZSet](c, c.args[1]); !ok {
		return
	}
	switch {
	case from == 6:
		if q.shape.center, ok = c.geoPos(2); !ok || !c.geoRadius(&q, 4) {
			return
		}
	case q.z != nil:
		if !c.geoMember(&q, 2) || !c.geoRadius(&q, 3) {
			return
		}
	}
	for i := from; i < len(c.args); i++ {
		next, ok := c.geoOption(&q, i)
		if !ok {
			return
		}
		i = next
	}
	if q.dest != nil && (q.withDist || q.withHash || q.withCoord) {
		c.fail("ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
		return
	}
	c.geosearch(&q)
}

// cmdGeosearch is GEOSEARCH and GEOSEARCHSTORE.
func cmdGeosearch(c *Client) {
	var q geoQuery
	from := 2
	if c.cmd.Name == "geosearchstore" {
		from = 3
		q.dest = c.args[1]
	}
	var ok bool
	if q.z, ok = fetch[*store.ZSet](c, c.args[from-1]); !ok {
		return
	}
	for i := from; i < len(c.args); i++ {
		next, ok := c.geosearchOption(&q, i)
		if !ok {
			return
		}
		i = next
	}
	name := string(c.args[0])
	switch {
	case q.dest != nil && (q.withDist || q.withHash || q.withCoord):
		c.fail("ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
	case !q.fromMember && !q.fromPos:
		c.fail("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for " + name)
	case !q.byRadius && !q.byBox:
		c.fail("ERR exactly one of BYRADIUS and BYBOX can be specified for " + name)
	default:
		c.geosearch(&q)
	}
}

func (c *Client) geoMember(q *geoQuery, i int) (ok bool) {
	if q.shape.center, ok = memberPos(q.z, c.args[i]); !ok {
		c.fail("ERR could not decode requested zset member")
	}
	return ok
}

// geoRadius parses a radius and its unit from argument i on.
func (c *Client) geoRadius(q *geoQuery, i int) (ok bool) {
	if q.shape.radius, ok = c.floatOr(i, "ERR need numeric radius"); !ok {
		return false
	}
	if q.shape.radius < 0 {
		c.fail("ERR radius cannot be negative")
		return false
	}
	q.shape.unit, ok = c.geoUnit(i + 1)
	return ok
}

// geoBox parses a width, a height and their unit from argument i on.
func (c *Client) geoBox(q *geoQuery, i int) (ok bool) {
	s := &q.shape
	if s.width, ok = c.floatOr(i, "ERR need numeric width"); !ok {
		return false
	}
	if s.height, ok = c.floatOr(i+1, "ERR need numeric height"); !ok {
		return false
	}
	if s.width < 0 || s.height < 0 {
		c.fail("ERR height or width cannot be negative")
		return false
	}
	s.isBox = true
	s.unit, ok = c.geoUnit(i + 2)
	return ok
}

// geoCommon parses an option at argument i that all searches have and returns its last argument.
func (c *Client) geoCommon(q *geoQuery, i int) (last int, ok bool) {
	switch {
	case c.is(i, "withdist"):
		q.withDist = true
	case c.is(i, "withhash"):
		q.withHash = true
	case c.is(i, "withcoord"):
		q.withCoord = true
	case c.is(i, "any"):
		q.any = true
	case c.is(i, "asc"):
		q.asc, q.desc = true, false
	case c.is(i, "desc"):
		q.asc, q.desc = false, true
	case c.is(i, "count") && i+1 < len(c.args):
		i++
		if q.count, ok = c.intArg(i); !ok {
			return i, false
		}
		if q.count <= 0 {
			c.fail("ERR COUNT must be > 0")
			return i, false
		}
	default:
		c.fail(errSyntax)
		return i, false
	}
	return i, true
}

// geoOption parses an option of the GEORADIUS family.
func (c *Client) geoOption(q *geoQuery, i int) (last int, ok bool) {
	if c.cmd.Flags&Write != 0 && i+1 < len(c.args) && (c.is(i, "store") || c.is(i, "storedist")) {
		q.storeDist, q.dest = c.is(i, "storedist"), c.args[i+1]
		return i + 1, true
	}
	return c.geoCommon(q, i)
}

// geosearchOption parses an option of GEOSEARCH and GEOSEARCHSTORE.
func (c *Client) geosearchOption(q *geoQuery, i int) (last int, ok bool) {
	left := len(c.args) - i - 1
	switch {
	case c.is(i, "frommember") && left >= 1 && !q.fromPos:
		q.fromMember = true
		return i + 1, q.z == nil || c.geoMember(q, i+1)
	case c.is(i, "fromlonlat") && left >= 2 && !q.fromMember:
		q.fromPos = true
		q.shape.center, ok = c.geoPos(i + 1)
		return i + 2, ok
	case c.is(i, "byradius") && left >= 2 && !q.byBox:
		q.byRadius = true
		return i + 2, c.geoRadius(q, i+1)
	case c.is(i, "bybox") && left >= 3 && !q.byRadius:
		q.byBox = true
		return i + 3, c.geoBox(q, i+1)
	case c.is(i, "storedist") && q.dest != nil:
		q.storeDist = true
		return i, true
	}
	return c.geoCommon(q, i)
}

// geoPoint is a member found.
type geoPoint struct {
	member      []byte
	pos         geoPos
	score, dist float64 // dist in meters
}

// sorted reports whether the points are to be sorted: by wish, or because there is no other sense in
// taking only some of them.
func (q *geoQuery) sorted() bool { return q.asc || q.desc || q.count > 0 && !q.any }

// compare orders points by distance.
func (q *geoQuery) compare(a, b geoPoint) int {
	if q.desc {
		a, b = b, a
	}
	return cmp.Compare(a.dist, b.dist)
}

// find returns the members inside the shape, in the order in which Redis meets them. Of very many it
// keeps those that are sure to be in the result.
func (q *geoQuery) find() []geoPoint {
	limit := -1
	if q.any {
		limit = int(q.count)
	}
	var found []geoPoint
	var best []geoPoint // the first count of those found so far, once there were many
	for _, cell := range q.shape.cells() {
		from, to := cell.scores()
		lo, hi := q.z.ScoreRanks(store.ScoreRange{Min: from, Max: to, MaxEx: true})
		if lo >= hi || len(found) == limit {
			continue
		}
		q.z.Range(lo, hi-lo, false, func(m []byte, score float64) bool {
			p := posOf(score)
			d, inside := q.shape.distance(p)
			if !inside || len(best) > 0 && q.compare(geoPoint{dist: d}, best[len(best)-1]) >= 0 {
				return true
			}
			found = append(found, geoPoint{append([]byte{}, m...), p, score, d})
			if q.sorted() && q.count > 0 && len(found) >= 1000 && int64(len(found)) >= 2*q.count {
				slices.SortStableFunc(found, q.compare)
				found = found[:q.count]
				best = found
			}
			return len(found) != limit
		})
	}
	return found
}

// geosearch carries out a search and replies or stores what it finds.
func (c *Client) geosearch(q *geoQuery) {
	if q.any && q.count == 0 {
		c.fail("ERR the ANY argument requires COUNT argument")
		return
	}
	var found []geoPoint
	if q.z != nil {
		found = q.find()
	}
	if q.sorted() {
		slices.SortStableFunc(found, q.compare)
	}
	if q.count > 0 && q.count < int64(len(found)) {
		found = found[:q.count]
	}
	if q.dest == nil {
		c.geoReply(q, found)
		return
	}
	c.w.Int(int64(len(found)))
	if len(found) == 0 {
		c.del(q.dest)
		return
	}
	z := store.NewZSet()
	for _, p := range found {
		if q.storeDist {
			p.score = exactDistance(q.shape.center, p.pos) / q.shape.unit
		}
		z.Add(p.member, p.score)
	}
	c.set(q.dest, z)
	c.counts(len(found))
}

func (c *Client) geoReply(q *geoQuery, found []geoPoint) {
	extra := btoi(q.withDist) + btoi(q.withHash) + btoi(q.withCoord)
	c.w.Array(len(found))
	for _, p := range found {
		if extra > 0 {
			c.w.Array(1 + extra)
		}
		c.w.Bulk(p.member)
		if q.withDist {
			c.geoLength(p.dist, q.shape.unit)
		}
		if q.withHash {
			c.w.Int(int64(p.score))
		}
		if q.withCoord {
			c.geoPair(p.pos)
		}
	}
}
