package queue

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"byor/pkg/resp"
)

// Info is what List says of a queue.
type Info struct {
	Name      string
	Length    int64 // messages in it
	Pending   int64 // those of them that somebody is working on, or that were given back
	Consumers int   // who wait for messages at this server now
	Policy    Policy
}

// maxList is how many queues List returns at most.
const maxList = 1000

// List returns the queues whose lengths do may read, in order of their names. do runs a command in the session of
// whoever asks. more says that there are more than the first 1,000 found.
func (q *Queues) List(do func(args ...string) (resp.Value, error)) (infos []Info, more bool, err error) {
	for cursor := "0"; ; {
		v, err := do("SCAN", cursor, "MATCH", keyPrefix+"*", "COUNT", "1000", "TYPE", "stream")
		if err != nil {
			return nil, false, err
		}
		if len(v.Elems) != 2 {
			return nil, false, errors.New("SCAN does not answer as it should")
		}
		for _, key := range v.Elems[1].Elems {
			name := strings.TrimPrefix(string(key.Str), keyPrefix)
			if CheckName(name) != nil {
				continue
			}
			info, err := q.info(name, do)
			if isReply(err) { // the key is not for this user, or has just gone
				continue
			}
			if err != nil {
				return nil, false, err
			}
			infos = append(infos, info)
		}
		cursor = string(v.Elems[0].Str)
		more = len(infos) > maxList
		if cursor == "0" || more {
			break
		}
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	infos = slices.CompactFunc(infos, func(a, b Info) bool { return a.Name == b.Name }) // SCAN may name a key twice
	return infos[:min(len(infos), maxList)], more, nil
}

func (q *Queues) info(name string, do func(args ...string) (resp.Value, error)) (Info, error) {
	n, err := do("XLEN", Key(name))
	if err != nil {
		return Info{}, err
	}
	groups, err := do("XINFO", "GROUPS", Key(name))
	if err != nil {
		return Info{}, err
	}
	info := Info{Name: name, Length: n.Int, Consumers: q.Consumers(name), Policy: q.PolicyOf(name)}
	for _, g := range groups.Elems {
		if string(member(g, "name").Str) == group {
			info.Pending = member(g, "pending").Int
		}
	}
	return info, nil
}
