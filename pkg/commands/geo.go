package commands

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/store"
)

func init() {
	key := engine.At(1, 1, 1)
	engine.Register("geo", []engine.Command{
		{Name: "geoadd", Arity: -5, Flags: engine.Write | engine.DenyOOM, Keys: key, Event: "zadd", Handler: cmdGeoadd},
		{Name: "geopos", Arity: -2, Flags: engine.ReadOnly, Keys: key, Handler: cmdGeopos},
		{Name: "geodist", Arity: -4, Flags: engine.ReadOnly, Keys: key, Handler: cmdGeodist},
		{Name: "geohash", Arity: -2, Flags: engine.ReadOnly, Keys: key, Handler: cmdGeohash},
		{Name: "geosearch", Arity: -7, Flags: engine.ReadOnly, Keys: key, Handler: cmdGeosearch},
		{Name: "geosearchstore", Arity: -8, Flags: engine.Write | engine.DenyOOM, Keys: engine.At(1, 2, 1), Handler: cmdGeosearch},
		{Name: "georadius", Arity: -6, Flags: engine.Write | engine.DenyOOM | engine.MovableKeys, Keys: key, KeysOf: georadiusKeys(6), Event: "georadiusstore", Handler: func(c *engine.Call) { georadius(c, 6) }},
		{Name: "georadius_ro", Arity: -6, Flags: engine.ReadOnly, Keys: key, Handler: func(c *engine.Call) { georadius(c, 6) }},
		{Name: "georadiusbymember", Arity: -5, Flags: engine.Write | engine.DenyOOM | engine.MovableKeys, Keys: key, KeysOf: georadiusKeys(5), Event: "georadiusstore", Handler: func(c *engine.Call) { georadius(c, 5) }},
		{Name: "georadiusbymember_ro", Arity: -5, Flags: engine.ReadOnly, Keys: key, Handler: func(c *engine.Call) { georadius(c, 5) }},
	})
}

// georadiusKeys finds the key behind STORE or STOREDIST, too; options begin at argument from.
func georadiusKeys(from int) func(args [][]byte) []int {
	return func(args [][]byte) []int {
		pos := []int{1}
		for i := from; i+1 < len(args); i++ {
			if engine.IsWord(args[i], "store") || engine.IsWord(args[i], "storedist") {
				i++
				pos = append(pos, i)
			}
		}
		return pos
	}
}

// positionArg parses arguments i and i+1 as longitude and latitude.
func positionArg(c *engine.Call, i int) (p geoPos, ok bool) {
	if p.lon, ok = c.FloatArg(i); !ok {
		return p, false
	}
	if p.lat, ok = c.FloatArg(i + 1); !ok {
		return p, false
	}
	if !p.valid() {
		c.Fail("ERR invalid longitude,latitude pair " + cFloat(p.lon) + "," + cFloat(p.lat))
		return p, false
	}
	return p, true
}

// geoUnit parses argument i as a unit of length and returns it in meters.
func geoUnit(c *engine.Call, i int) (float64, bool) {
	for name, meters := range map[string]float64{"m": 1, "km": 1000, "ft": 0.3048, "mi": 1609.34} {
		if c.Is(i, name) {
			return meters, true
		}
	}
	c.Fail("ERR unsupported unit provided. please use M, KM, FT, MI")
	return 0, false
}

// cFloat prints f as C's %f.
func cFloat(f float64) string {
	if math.IsInf(f, 0) {
		return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'f', 6, 64), "+"))
	}
	return strconv.FormatFloat(f, 'f', 6, 64)
}

// floatOr is FloatArg with an error text of its own.
func floatOr(c *engine.Call, i int, text string) (float64, bool) {
	f, ok := engine.ParseFloat(c.Args[i])
	if !ok {
		c.Fail(text)
	}
	return f, ok
}

// geoDouble replies a coordinate.
func geoDouble(c *engine.Call, f float64) {
	text := engine.NewLongDouble(f).Format()
	if c.Reply.Proto != 3 {
		c.Reply.Bulk(text)
		return
	}
	c.Reply.Raw(append(append([]byte{','}, text...), '\r', '\n'))
}

func geoPair(c *engine.Call, p geoPos) {
	c.Reply.Array(2)
	geoDouble(c, p.lon)
	geoDouble(c, p.lat)
}

func geoLength(c *engine.Call, meters, unit float64) {
	c.Reply.BulkString(strconv.FormatFloat(meters/unit, 'f', 4, 64))
}

// cmdGeoadd is a ZADD with the positions turned into scores.
func cmdGeoadd(c *engine.Call) {
	first, nx, xx := 2, false, false
	for ; first < len(c.Args); first++ {
		nx, xx = nx || c.Is(first, "nx"), xx || c.Is(first, "xx")
		if !c.Is(first, "nx") && !c.Is(first, "xx") && !c.Is(first, "ch") {
			break
		}
	}
	if (len(c.Args)-first)%3 != 0 || nx && xx {
		c.Fail(engine.ErrSyntax)
		return
	}
	args := append([][]byte{[]byte("zadd")}, c.Args[1:first]...)
	for i := first; i < len(c.Args); i += 3 {
		p, ok := positionArg(c, i)
		if !ok {
			return
		}
		args = append(args, strconv.AppendUint(nil, p.score(), 10), c.Args[i+2])
	}
	c.Args = args
	dirty := c.Changes()
	if cmdZadd(c); c.Changes() != dirty {
		c.Replicate(args...)
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

func cmdGeopos(c *engine.Call) {
	z, ok := engine.Fetch[*store.ZSet](c, c.Args[1])
	if !ok {
		return
	}
	c.Reply.Array(len(c.Args) - 2)
	for _, m := range c.Args[2:] {
		if p, ok := memberPos(z, m); ok {
			geoPair(c, p)
		} else {
			c.Reply.NullArray()
		}
	}
}

func cmdGeohash(c *engine.Call) {
	z, ok := engine.Fetch[*store.ZSet](c, c.Args[1])
	if !ok {
		return
	}
	c.Reply.Array(len(c.Args) - 2)
	for _, m := range c.Args[2:] {
		if p, ok := memberPos(z, m); ok {
			c.Reply.BulkString(p.geohash())
		} else {
			c.Reply.Null()
		}
	}
}

func cmdGeodist(c *engine.Call) {
	unit := 1.0
	switch n := len(c.Args); {
	case n == 5:
		var ok bool
		if unit, ok = geoUnit(c, 4); !ok {
			return
		}
	case n > 5:
		c.Fail(engine.ErrSyntax)
		return
	}
	z, ok := engine.Fetch[*store.ZSet](c, c.Args[1])
	if !ok {
		return
	}
	a, okA := memberPos(z, c.Args[2])
	b, okB := memberPos(z, c.Args[3])
	if !okA || !okB {
		c.Reply.Null()
		return
	}
	geoLength(c, geoDistance(a, b), unit)
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
func georadius(c *engine.Call, from int) {
	var q geoQuery
	var ok bool
	if q.z, ok = engine.Fetch[*store.ZSet](c, c.Args[1]); !ok {
		return
	}
	switch {
	case from == 6:
		if q.shape.center, ok = positionArg(c, 2); !ok || !geoRadius(c, &q, 4) {
			return
		}
	case q.z != nil:
		if !geoMember(c, &q, 2) || !geoRadius(c, &q, 3) {
			return
		}
	}
	for i := from; i < len(c.Args); i++ {
		next, ok := geoOption(c, &q, i)
		if !ok {
			return
		}
		i = next
	}
	if q.dest != nil && (q.withDist || q.withHash || q.withCoord) {
		c.Fail("ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
		return
	}
	geosearch(c, &q)
}

// cmdGeosearch is GEOSEARCH and GEOSEARCHSTORE.
func cmdGeosearch(c *engine.Call) {
	var q geoQuery
	from := 2
	if c.Cmd.Name == "geosearchstore" {
		from = 3
		q.dest = c.Args[1]
	}
	var ok bool
	if q.z, ok = engine.Fetch[*store.ZSet](c, c.Args[from-1]); !ok {
		return
	}
	for i := from; i < len(c.Args); i++ {
		next, ok := geosearchOption(c, &q, i)
		if !ok {
			return
		}
		i = next
	}
	name := string(c.Args[0])
	switch {
	case q.dest != nil && (q.withDist || q.withHash || q.withCoord):
		c.Fail("ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
	case !q.fromMember && !q.fromPos:
		c.Fail("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for " + name)
	case !q.byRadius && !q.byBox:
		c.Fail("ERR exactly one of BYRADIUS and BYBOX can be specified for " + name)
	default:
		geosearch(c, &q)
	}
}

func geoMember(c *engine.Call, q *geoQuery, i int) (ok bool) {
	if q.shape.center, ok = memberPos(q.z, c.Args[i]); !ok {
		c.Fail("ERR could not decode requested zset member")
	}
	return ok
}

// geoRadius parses a radius and its unit from argument i on.
func geoRadius(c *engine.Call, q *geoQuery, i int) (ok bool) {
	if q.shape.radius, ok = floatOr(c, i, "ERR need numeric radius"); !ok {
		return false
	}
	if q.shape.radius < 0 {
		c.Fail("ERR radius cannot be negative")
		return false
	}
	q.shape.unit, ok = geoUnit(c, i+1)
	return ok
}

// boxArg parses a width, a height and their unit from argument i on.
func boxArg(c *engine.Call, q *geoQuery, i int) (ok bool) {
	s := &q.shape
	if s.width, ok = floatOr(c, i, "ERR need numeric width"); !ok {
		return false
	}
	if s.height, ok = floatOr(c, i+1, "ERR need numeric height"); !ok {
		return false
	}
	if s.width < 0 || s.height < 0 {
		c.Fail("ERR height or width cannot be negative")
		return false
	}
	s.isBox = true
	s.unit, ok = geoUnit(c, i+2)
	return ok
}

// geoCommon parses an option at argument i that all searches have and returns its last argument.
func geoCommon(c *engine.Call, q *geoQuery, i int) (last int, ok bool) {
	switch {
	case c.Is(i, "withdist"):
		q.withDist = true
	case c.Is(i, "withhash"):
		q.withHash = true
	case c.Is(i, "withcoord"):
		q.withCoord = true
	case c.Is(i, "any"):
		q.any = true
	case c.Is(i, "asc"):
		q.asc, q.desc = true, false
	case c.Is(i, "desc"):
		q.asc, q.desc = false, true
	case c.Is(i, "count") && i+1 < len(c.Args):
		i++
		if q.count, ok = c.IntArg(i); !ok {
			return i, false
		}
		if q.count <= 0 {
			c.Fail("ERR COUNT must be > 0")
			return i, false
		}
	default:
		c.Fail(engine.ErrSyntax)
		return i, false
	}
	return i, true
}

// geoOption parses an option of the GEORADIUS family.
func geoOption(c *engine.Call, q *geoQuery, i int) (last int, ok bool) {
	if c.Cmd.Flags&engine.Write != 0 && i+1 < len(c.Args) && (c.Is(i, "store") || c.Is(i, "storedist")) {
		q.storeDist, q.dest = c.Is(i, "storedist"), c.Args[i+1]
		return i + 1, true
	}
	return geoCommon(c, q, i)
}

// geosearchOption parses an option of GEOSEARCH and GEOSEARCHSTORE.
func geosearchOption(c *engine.Call, q *geoQuery, i int) (last int, ok bool) {
	left := len(c.Args) - i - 1
	switch {
	case c.Is(i, "frommember") && left >= 1 && !q.fromPos:
		q.fromMember = true
		return i + 1, q.z == nil || geoMember(c, q, i+1)
	case c.Is(i, "fromlonlat") && left >= 2 && !q.fromMember:
		q.fromPos = true
		q.shape.center, ok = positionArg(c, i+1)
		return i + 2, ok
	case c.Is(i, "byradius") && left >= 2 && !q.byBox:
		q.byRadius = true
		return i + 2, geoRadius(c, q, i+1)
	case c.Is(i, "bybox") && left >= 3 && !q.byRadius:
		q.byBox = true
		return i + 3, boxArg(c, q, i+1)
	case c.Is(i, "storedist") && q.dest != nil:
		q.storeDist = true
		return i, true
	}
	return geoCommon(c, q, i)
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
func geosearch(c *engine.Call, q *geoQuery) {
	if q.any && q.count == 0 {
		c.Fail("ERR the ANY argument requires COUNT argument")
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
		geoReply(c, q, found)
		return
	}
	c.Reply.Int(int64(len(found)))
	if len(found) == 0 {
		c.Del(q.dest)
		return
	}
	z := store.NewZSet()
	for _, p := range found {
		if q.storeDist {
			p.score = exactDistance(q.shape.center, p.pos) / q.shape.unit
		}
		z.Add(p.member, p.score)
	}
	c.Set(q.dest, z)
	c.Counts(len(found))
}

func geoReply(c *engine.Call, q *geoQuery, found []geoPoint) {
	extra := btoi(q.withDist) + btoi(q.withHash) + btoi(q.withCoord)
	c.Reply.Array(len(found))
	for _, p := range found {
		if extra > 0 {
			c.Reply.Array(1 + extra)
		}
		c.Reply.Bulk(p.member)
		if q.withDist {
			geoLength(c, p.dist, q.shape.unit)
		}
		if q.withHash {
			c.Reply.Int(int64(p.score))
		}
		if q.withCoord {
			geoPair(c, p.pos)
		}
	}
}
