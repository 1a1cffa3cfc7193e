package diff

import (
	"byor/pkg/redistest"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func init() {
	lon := func(r *rand.Rand) string { return fmt.Sprintf("%.*f", r.IntN(7), r.Float64()*360-180) }
	lat := func(r *rand.Rand) string {
		if r.IntN(3) > 0 {
			return fmt.Sprintf("%.4f", r.Float64()*2+37)
		}
		return fmt.Sprintf("%.*f", r.IntN(7), r.Float64()*170-85)
	}
	near := func(r *rand.Rand) string { return fmt.Sprintf("%.5f", r.Float64()*3+13) }
	place := func(r *rand.Rand) []string {
		if r.IntN(3) == 0 {
			return []string{lon(r), lat(r)}
		}
		return []string{near(r), lat(r)}
	}
	member := func(r *rand.Rand) string { return fmt.Sprint("m", r.IntN(300)) }
	size := func(r *rand.Rand) string {
		return fmt.Sprintf("%.2f", []float64{1, 10, 100, 1000, 20000}[r.IntN(5)]*r.Float64())
	}
	unit := func(r *rand.Rand) string { return pick(r, "km", "km", "mi", "m", "ft") }
	option := func(r *rand.Rand) string { return pick(r, "WITHDIST", "WITHCOORD", "WITHHASH", "ASC", "DESC") }
	generators["geo"] = func(r *rand.Rand) []string {
		k := "k" + fmt.Sprint(r.IntN(3))
		switch r.IntN(9) {
		case 0, 1, 2:
			return args("GEOADD", k, place(r), member(r), place(r), member(r), place(r), member(r))
		case 3:
			return args(pick(r, "GEOPOS", "GEOHASH"), k, some(r, 0, 3, member))
		case 4:
			return args("GEODIST", k, member(r), member(r), some(r, 0, 1, unit))
		case 5:
			return args("GEORADIUSBYMEMBER", k, member(r), size(r), unit(r), some(r, 0, 2, option))
		case 6:
			return args("GEORADIUS", k, place(r), size(r), unit(r), some(r, 0, 2, option))
		case 7:
			return args("GEOSEARCHSTORE", anyKey(r), k, "FROMMEMBER", member(r), "BYRADIUS", size(r), unit(r), "COUNT", "5")
		}
		from := args("FROMMEMBER", member(r))
		if r.IntN(2) == 0 {
			from = args("FROMLONLAT", place(r))
		}
		by := args("BYRADIUS", size(r), unit(r))
		if r.IntN(2) == 0 {
			by = args("BYBOX", size(r), size(r), unit(r))
		}
		return args("GEOSEARCH", k, from, by, some(r, 0, 3, option))
	}
}

// Of many points a search keeps only the best while it goes on.
func TestGeosearchAmongMany(t *testing.T) {
	redis := redistest.Connect(t, startRedis(t))
	addr := startServer(t)
	ours := redistest.Connect(t, addr)
	r := rand.New(rand.NewPCG(5, 5))
	for i := range 100 {
		cmd := []string{"GEOADD", "geo"}
		for j := range 40 {
			cmd = append(cmd, fmt.Sprintf("%.6f", 13+r.Float64()), fmt.Sprintf("%.6f", 38+r.Float64()), fmt.Sprint("m", i*40+j))
		}
		for _, c := range []*redistest.Client{redis, ours} {
			c.Send(cmd...)
			c.Read()
		}
	}
	for _, options := range []string{"ASC", "DESC", "COUNT 5", "COUNT 5 DESC WITHDIST", "COUNT 700 ASC", "COUNT 3000 DESC", "COUNT 10 ANY", "COUNT 1500 ANY ASC"} {
		query := "GEOSEARCH geo FROMLONLAT 13.3 38.4 BYRADIUS 150 km " + options
		require.Equal(t, redistest.Show(redis.Do(query)), redistest.Show(ours.Do(query)), options)
	}
}

// TestDiffStoredDistances compares distances that are kept as scores, to their last digit.
func TestDiffStoredDistances(t *testing.T) {
	redis := redistest.Connect(t, startRedis(t))
	addr := startServer(t)
	ours := redistest.Connect(t, addr)
	r := rand.New(rand.NewPCG(5, 5))
	add := []string{"GEOADD", "geo"}
	for i := range 3000 {
		spread := []float64{1, 0.1, 0.00001}[i%3] // all over the world, over a country, over a street
		add = append(add, fmt.Sprint(spread*(360*r.Float64()-180)), fmt.Sprint(spread*(170*r.Float64()-85)), fmt.Sprint("m", i))
	}
	scores := func(c *redistest.Client) []string {
		c.Send(add...)
		c.Read()
		var all []string
		for _, center := range []string{"FROMLONLAT 13 38", "FROMLONLAT -0.001 0.001", "FROMLONLAT 179.9 -80", "FROMMEMBER m1"} {
			c.Do("GEOSEARCHSTORE dist geo " + center + " BYRADIUS 25000 km STOREDIST")
			for _, v := range c.Do("ZRANGE dist 0 -1 WITHSCORES").Elems {
				all = append(all, string(v.Str))
			}
		}
		return all
	}
	a, b := scores(ours), scores(redis)
	require.Len(t, a, len(b))
	require.Greater(t, len(b), 20000)
	differ := 0
	for i := range a {
		if a[i] != b[i] {
			differ++
		}
	}
	t.Logf("%d of %d scores differ", differ, len(b)/2)
	require.Less(t, differ, len(b)/200)
}
