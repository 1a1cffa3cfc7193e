package rdb

// The parts that a module's data is made of, each opened by a length that says which it is. They
// can be skipped without knowing the module.
const (
	moduleEnd    = 0
	moduleSigned = 1
	moduleUint   = 2
	moduleFloat  = 3
	moduleDouble = 4
	moduleString = 5
)

// moduleAux skips data that a module has stored beside the keys and returns the module's name.
func (r *Reader) moduleAux() (name string, err error) {
	defer catch(&err)
	in := &r.in
	name = moduleName(in.length("a module's ID"))
	if op := in.length("when a module's data is to be loaded"); op != moduleUint {
		in.corrupt("module %s: expected an unsigned integer (2), found part %d", name, op)
	}
	in.length("when a module's data is to be loaded")
	in.skipModuleParts(name)
	return name, nil
}

func (in *input) skipModuleParts(name string) {
	for {
		switch op := in.length("a part of a module's data"); op {
		case moduleEnd:
			return
		case moduleSigned, moduleUint:
			in.length("a module's integer")
		case moduleFloat:
			in.fixed(4, "a module's float")
		case moduleDouble:
			in.fixed(8, "a module's double")
		case moduleString:
			in.str("a module's string")
		default:
			in.corrupt("module %s: expected a part of its data (0 to 5), found %d", name, op)
		}
	}
}

// moduleName returns the nine characters that the upper 54 bits of a module's ID stand for. The
// lower ten are the version of its encoding.
func moduleName(id uint64) string {
	const chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var name [9]byte
	id >>= 10
	for i := len(name) - 1; i >= 0; i-- {
		name[i] = chars[id&63]
		id >>= 6
	}
	return string(name[:])
}
