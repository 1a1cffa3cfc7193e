package queue

import "byor/pkg/resp"

// Replies, as RESP2 and RESP3 have them.

// member returns a member of a map, or of the array that stands for one in RESP2.
func member(v resp.Value, name string) resp.Value {
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if string(v.Elems[i].Str) == name {
			return v.Elems[i+1]
		}
	}
	return resp.Value{Null: true}
}

// entriesRead are the entries in the reply of XREAD and XREADGROUP of one stream.
func entriesRead(v resp.Value) []resp.Value {
	switch {
	case v.Null || len(v.Elems) == 0:
		return nil
	case v.Kind == resp.Map && len(v.Elems) == 2:
		return v.Elems[1].Elems
	case v.Kind == resp.Array && len(v.Elems[0].Elems) == 2:
		return v.Elems[0].Elems[1].Elems
	}
	return nil
}

// pendings are the entries in the long reply of XPENDING.
func pendings(v resp.Value) []pending {
	var all []pending
	for _, e := range v.Elems {
		if len(e.Elems) == 4 {
			all = append(all, pending{string(e.Elems[0].Str), int(e.Elems[3].Int)})
		}
	}
	return all
}

// jobOf makes a job of an entry. ok is false for one that has been deleted.
func jobOf(name string, e resp.Value) (job Job, ok bool) {
	if len(e.Elems) != 2 || e.Elems[1].Null {
		return Job{}, false
	}
	job = Job{Queue: name, Entry: string(e.Elems[0].Str)}
	fields := e.Elems[1].Elems
	for i := 0; i+1 < len(fields); i += 2 {
		if string(fields[i].Str) == field && job.Data == nil {
			job.Data = fields[i+1].Str
			continue
		}
		job.Rest = append(job.Rest, [2][]byte{fields[i].Str, fields[i+1].Str})
	}
	return job, true
}
