package commands

import (
	"encoding/binary"

	"byor/pkg/engine"
	"byor/pkg/store"
)

func init() {
	engine.Register("hyperloglog", []engine.Command{
		{Name: "pfadd", Arity: -2, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: engine.At(1, 1, 1), Handler: cmdPfadd},
		{Name: "pfcount", Arity: -2, Flags: engine.ReadOnly | engine.MayReplicate, Keys: engine.At(1, -1, 1), Event: "-", Handler: cmdPfcount},
		{Name: "pfdebug", Arity: 3, Flags: engine.Write | engine.DenyOOM | engine.Admin, Keys: engine.At(2, 2, 1), Event: "-", Handler: cmdPfdebug},
		{Name: "pfselftest", Arity: 1, Flags: engine.Admin, Handler: cmdPfselftest},
		{Name: "pfmerge", Arity: -2, Flags: engine.Write | engine.DenyOOM, Keys: engine.At(1, -1, 1), Event: "pfadd", Handler: cmdPfmerge},
	})
}

// checkHLL replies the error and reports false when the string holds no HyperLogLog.
func checkHLL(c *engine.Call, v *store.String) bool {
	if _, isInt := v.Int(); isInt || !isHLL(v.View()) {
		c.Fail("WRONGTYPE Key is not a valid HyperLogLog string value.")
		return false
	}
	return true
}

// editHLL returns the bytes of a HyperLogLog to be edited. A new one is not in the database yet.
func editHLL(c *engine.Call, key []byte) (v *store.String, b []byte, e *store.Entry, ok bool) {
	v, e, ok = engine.EditOrCreate(c, key, func() *store.String { return store.NewString(nil) })
	switch {
	case !ok:
		return nil, nil, nil, false
	case e == nil:
		return v, newHLL(), nil, true
	case !checkHLL(c, v):
		return nil, nil, nil, false
	}
	return v, v.Grow(0), e, true
}

func cmdPfadd(c *engine.Call) {
	v, b, e, ok := editHLL(c, c.Args[1])
	if !ok {
		return
	}
	updates := btoi(e == nil)
	for _, element := range c.Args[2:] {
		var changed bool
		var err error
		if b, changed, err = hllAdd(b, element, c.Settings().HLLSparseMaxBytes); err != nil {
			c.Fail(err.Error())
			return
		}
		updates += btoi(changed)
	}
	if updates > 0 {
		hllInvalidate(b)
		v.SetRaw(b)
		c.Put(c.Args[1], e, v)
		c.Counts(updates)
	}
	c.Reply.Int(int64(btoi(updates > 0)))
}

// cmdPfcount replies an estimate. That of a single key is kept in it, which is a change that replicas
// must learn of although the command counts as one that reads.
func cmdPfcount(c *engine.Call) {
	if len(c.Args) > 2 {
		var max [hllRegisters]byte
		if _, ok := mergeHLLs(c, &max); ok {
			var histogram [64]int
			for _, value := range max {
				histogram[value]++
			}
			c.Reply.Int(int64(hllCount(&histogram)))
		}
		return
	}
	v, e, ok := engine.FetchEdit[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	if e == nil {
		c.Reply.Int(0)
		return
	}
	if !checkHLL(c, v) {
		return
	}
	n, fresh := hllCached(v.View())
	if !fresh {
		histogram := [64]int{hllRegisters}
		err := hllEach(v.View(), func(_ int, value byte) {
			histogram[0]--
			histogram[value]++
		})
		if err != nil {
			c.Fail(err.Error())
			return
		}
		n = hllCount(&histogram)
		binary.LittleEndian.PutUint64(v.Grow(0)[8:], n)
		c.Changed(e)
	}
	c.Reply.Int(int64(n))
}

// mergeHLLs raises the registers in max to those of all keys from argument 1 on, and reports whether
// one of them is dense. It replies the error and reports false when one is no HyperLogLog.
func mergeHLLs(c *engine.Call, max *[hllRegisters]byte) (dense, ok bool) {
	for _, key := range c.Args[1:] {
		v, ok := engine.Fetch[*store.String](c, key)
		if !ok {
			return false, false
		}
		if v == nil {
			continue
		}
		if !checkHLL(c, v) {
			return false, false
		}
		b := v.View()
		dense = dense || b[4] == hllDense
		err := hllEach(b, func(i int, value byte) {
			if value > max[i] {
				max[i] = value
			}
		})
		if err != nil {
			c.Fail(err.Error())
			return false, false
		}
	}
	return dense, true
}

func cmdPfmerge(c *engine.Call) {
	var max [hllRegisters]byte
	dense, ok := mergeHLLs(c, &max)
	if !ok {
		return
	}
	v, b, e, ok := editHLL(c, c.Args[1])
	if !ok {
		return
	}
	var err error
	if dense {
		b, err = hllToDense(b)
	}
	for i, value := range max {
		if value > 0 && err == nil {
			b, _, err = hllSet(b, i, value, c.Settings().HLLSparseMaxBytes)
		}
	}
	if err != nil {
		c.Fail(err.Error())
		return
	}
	hllInvalidate(b)
	v.SetRaw(b)
	c.Put(c.Args[1], e, v)
	c.Reply.OK()
}
