package script

import (
	lua "github.com/yuin/gopher-lua"
)

// gopher-lua's notes on where local variables begin and end are wrong after the first block that has ended
// (it confuses registers with variables). So the parser notes in the line of each node which variables are
// active, and tidy makes right notes of that: sorted by register, so that those that contain an instruction are
// the variables in registers 0, 1, 2, ….
func tidy(p *lua.FunctionProto, vars []localVar) {
	p.LineDefined &= 1<<32 - 1
	p.LastLineDefined &= 1<<32 - 1
	byRegister := [][]*lua.DbgLocalInfo{}
	ids := []int{} // of the variables that are active, by register
	for pc, mark := range p.DbgSourcePositions {
		p.DbgSourcePositions[pc] = mark & (1<<32 - 1)
		id := mark >> 32
		n := 0
		if id != 0 {
			n = vars[id].register + 1
		}
		for len(ids) > n {
			ids = ids[:len(ids)-1]
		}
		for len(byRegister) < n {
			byRegister = append(byRegister, nil)
		}
		ids = append(ids, make([]int, n-len(ids))...)
		for r := n - 1; r >= 0 && ids[r] != id; r-- {
			ids[r] = id
			byRegister[r] = append(byRegister[r], &lua.DbgLocalInfo{Name: vars[id].name, StartPc: pc, EndPc: pc})
			id = vars[id].outer
		}
		for r := range ids {
			list := byRegister[r]
			list[len(list)-1].EndPc = pc + 1
		}
	}
	p.DbgLocals = p.DbgLocals[:0]
	for _, list := range byRegister {
		p.DbgLocals = append(p.DbgLocals, list...)
	}
	for _, f := range p.FunctionPrototypes {
		tidy(f, vars)
	}
}
