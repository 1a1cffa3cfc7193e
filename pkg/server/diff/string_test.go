package diff

import "math/rand/v2"

func init() { generators["string"], generators["key"] = stringCommand, keyCommand }

func stringCommand(r *rand.Rand) []string {
	k := anyKey(r)
	return [](func() []string){
		func() []string { return []string{"SET", k, anyValue(r)} },
		func() []string { return append([]string{"SET", k, anyValue(r)}, some(r, 1, 2, setOption)...) },
		func() []string { return []string{"GET", k} },
		func() []string { return []string{pick(r, "INCR", "DECR"), k} },
		func() []string { return []string{pick(r, "INCRBY", "DECRBY"), k, anyInt(r)} },
		func() []string {
			return []string{"INCRBYFLOAT", k, pick(r, "0.1", "1", "-2.5", "1e3", "x", "inf", "nan", "3.0", "-0.1", "1e-5")}
		},
		func() []string { return []string{"APPEND", k, anyValue(r)} },
		func() []string { return []string{"STRLEN", k} },
		func() []string { return []string{pick(r, "GETRANGE", "SUBSTR"), k, anyInt(r), anyInt(r)} },
		func() []string {
			return []string{"SETRANGE", k, pick(r, "0", "1", "5", "-1", "x", "600000000", "20"), anyValue(r)}
		},
		func() []string { return append([]string{"MGET"}, some(r, 1, 3, anyKey)...) },
		func() []string { return append([]string{pick(r, "MSET", "MSETNX"), k}, some(r, 1, 4, anyValue)...) },
		func() []string { return []string{"SETNX", k, anyValue(r)} },
		func() []string {
			return []string{pick(r, "SETEX", "PSETEX"), k, pick(r, "0", "-1", "100000", "x", "9223372036854775807"), anyValue(r)}
		},
		func() []string { return []string{"GETSET", k, anyValue(r)} },
		func() []string { return []string{"GETDEL", k} },
		func() []string { return append([]string{"GETEX", k}, some(r, 0, 2, getexOption)...) },
		func() []string {
			return append([]string{"LCS", k, anyKey(r)}, some(r, 0, 2, func(r *rand.Rand) string { return pick(r, "LEN", "IDX", "WITHMATCHLEN", "MINMATCHLEN") })...)
		},
	}[r.IntN(18)]()
}

func keyCommand(r *rand.Rand) []string {
	k := anyKey(r)
	return [](func() []string){
		func() []string {
			return append([]string{pick(r, "DEL", "UNLINK", "EXISTS", "TOUCH")}, some(r, 1, 3, anyKey)...)
		},
		func() []string { return []string{"TYPE", k} },
		func() []string { return []string{pick(r, "RENAME", "RENAMENX"), k, anyKey(r)} },
		func() []string {
			return append([]string{"COPY", k, anyKey(r)}, some(r, 0, 2, func(r *rand.Rand) string { return pick(r, "REPLACE", "DB", "1", "99", "x") })...)
		},
		func() []string { return []string{"MOVE", k, pick(r, "0", "1", "99", "x")} },
		func() []string { return []string{"OBJECT", "ENCODING", k} },
		func() []string {
			return append([]string{"EXPIREAT", k, pick(r, "99999999999", "1", "-1", "x", "9223372036854775807")}, some(r, 0, 2, expireOption)...)
		},
		func() []string {
			return append([]string{"PEXPIREAT", k, pick(r, "99999999999999", "99999999999998", "1", "0")}, some(r, 0, 2, expireOption)...)
		},
		func() []string { return []string{pick(r, "EXPIRETIME", "PEXPIRETIME", "PERSIST"), k} },
		func() []string { return []string{"SET", k, anyValue(r)} },
		func() []string {
			return []string{"SET", k, anyValue(r), "PXAT", pick(r, "99999999999999", "99999999999000")}
		},
		func() []string { return []string{"DBSIZE"} },
		func() []string { return []string{"KEYS", pick(r, "*", "k?", "k[0-3]", "[^k]*", "k\\1")} },
	}[r.IntN(13)]()
}

func setOption(r *rand.Rand) string {
	return pick(r, "NX", "XX", "GET", "KEEPTTL", "EX", "PX", "PXAT", "EXAT", "99999999999999", "x", "0", "PERSIST")
}

func getexOption(r *rand.Rand) string {
	return pick(r, "PERSIST", "PXAT", "EXAT", "99999999999", "0", "-1", "x", "KEEPTTL")
}

func expireOption(r *rand.Rand) string { return pick(r, "NX", "XX", "GT", "LT", "FOO") }
