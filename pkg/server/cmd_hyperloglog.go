package server

import (
	"encoding/binary"

	"byor/pkg/store"
)

func init() {
	register("hyperloglog", []Command{
		{Name: "pfadd", Arity: -2, Flags: Write | DenyOOM | Fast, Keys: Keys{1, 1, 1}, Handler: cmdPfadd},
		{Name: "pfcount", Arity: -2, Flags: ReadOnly | MayReplicate, Keys: Keys{1, -1, 1}, Handler: cmdPfcount},
		{Name: "pfdebug", Arity: 3, Flags: Write | DenyOOM | Admin, Keys: Keys{2, 2, 1}, Handler: cmdPfdebug},
		{Name: "pfselftest", Arity: 1, Flags: Admin, Handler: cmdPfselftest},
		{Name: "pfmerge", Arity: -2, Flags: Write | DenyOOM, Keys: Keys{1, -1, 1}, Handler: cmdPfmerge},
	})
}

// checkHLL replies the error and reports false when the string holds no HyperLogLog.
func (c *Client) checkHLL(v *store.String) bool {
	if _, isInt := v.Int(); isInt || !isHLL(v.View()) {
		c.fail("WRONGTYPE Key is not a valid HyperLogLog string value.")
		return false
	}
	return true
}

// editHLL returns the bytes of a HyperLogLog to be edited. A new one is not in the database yet.
func (c *Client) editHLL(key []byte) (v *store.String, b []byte, e *store.Entry, ok bool) {
	v, e, ok = editOrCreate(c, key, func() *store.String { return store.NewString(nil) })
	switch {
	case !ok:
		return nil, nil, nil, false
	case e == nil:
		return v, newHLL(), nil, true
	case !c.checkHLL(v):
		return nil, nil, nil, false
	}
	return v, v.Grow(0), e, true
}

func cmdPfadd(c *Client) {
	v, b, e, ok := c.editHLL(c.args[1])
	if !ok {
		return
	}
	updates := btoi(e == nil)
	for _, element := range c.args[2:] {
		var changed bool
		var err error
		if b, changed, err = hllAdd(b, element, c.s.cfg.HLLSparseMaxBytes); err != nil {
			c.fail(err.Error())
			return
		}
		updates += btoi(changed)
	}
	if updates > 0 {
		hllInvalidate(b)
		v.SetRaw(b)
		c.put(c.args[1], e, v)
		c.counts(updates)
	}
	c.w.Int(int64(btoi(updates > 0)))
}

// cmdPfcount replies an estimate. That of a single key is kept in it, which is a change that replicas
// must learn of although the command counts as one that reads.
func cmdPfcount(c *Client) {
	if len(c.args) > 2 {
		var max [hllRegisters]byte
		if _, ok := c.mergeHLLs(&max); ok {
			var histogram [64]int
			for _, value := range max {
				histogram[value]++
			}
			c.w.Int(int64(hllCount(&histogram)))
		}
		return
	}
	v, e, ok := fetchEdit[*store.String](c, c.args[1])
	if !ok {
		return
	}
	if e == nil {
		c.w.Int(0)
		return
	}
	if !c.checkHLL(v) {
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
			c.fail(err.Error())
			return
		}
		n = hllCount(&histogram)
		binary.LittleEndian.PutUint64(v.Grow(0)[8:], n)
		c.changed(e)
	}
	c.w.Int(int64(n))
}

// mergeHLLs raises the registers in max to those of all keys from argument 1 on, and reports whether
// one of them is dense. It replies the error and reports false when one is no HyperLogLog.
func (c *Client) mergeHLLs(max *[hllRegisters]byte) (dense, ok bool) {
	for _, key := range c.args[1:] {
		v, ok := fetch[*store.String](c, key)
		if !ok {
			return false, false
		}
		if v == nil {
			continue
		}
		if !c.checkHLL(v) {
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
			c.fail(err.Error())
			return false, false
		}
	}
	return dense, true
}

func cmdPfmerge(c *Client) {
	var max [hllRegisters]byte
	dense, ok := c.mergeHLLs(&max)
	if !ok {
		return
	}
	v, b, e, ok := c.editHLL(c.args[1])
	if !ok {
		return
	}
	var err error
	if dense {
		b, err = hllToDense(b)
	}
	for i, value := range max {
		if value > 0 && err == nil {
			b, _, err = hllSet(b, i, value, c.s.cfg.HLLSparseMaxBytes)
		}
	}
	if err != nil {
		c.fail(err.Error())
		return
	}
	hllInvalidate(b)
	v.SetRaw(b)
	c.put(c.args[1], e, v)
	c.w.OK()
}
