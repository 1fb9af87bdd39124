package limits

// owners says whose processes are whose: a container's are its roots and what
// descends from them, and those in its mount namespace. Descent comes first: a
// process leaves a mount namespace by itself, but not its ancestors, as long as
// its PID namespace is the container's own. Where the pod's containers share one,
// orphans become the pause process's; those that the mount namespace does not
// tell apart either are the pod's first container's.
func owners(table map[int]process, containers []Container, mounts func(pid int) uint64) map[string][]process {
	o := ownership{
		table: table, mounts: mounts, found: make(map[int]string, len(table)),
		roots: map[int]string{}, inMounts: map[uint64]string{}, pauses: map[int]string{},
	}
	for _, c := range containers {
		for _, pid := range c.Roots {
			o.roots[pid] = c.ID
		}
		if c.Mounts != 0 {
			o.inMounts[c.Mounts] = c.ID
		}
		if _, known := o.pauses[c.Pause]; c.Pause != 0 && !known {
			o.pauses[c.Pause] = c.ID
		}
	}
	of := make(map[string][]process, len(containers))
	for pid, p := range table {
		if id := o.of(pid); id != "" {
			of[id] = append(of[id], p)
		}
	}
	return of
}

type ownership struct {
	table    map[int]process
	mounts   func(pid int) uint64
	roots    map[int]string
	inMounts map[uint64]string
	pauses   map[int]string
	found    map[int]string
}

// of is the container of a process, "" for none.
func (o *ownership) of(pid int) string {
	if id, ok := o.roots[pid]; ok {
		return id
	}
	if _, ok := o.pauses[pid]; ok {
		return "" // the pod's, but no container's
	}
	p, ok := o.table[pid]
	if !ok {
		return ""
	}
	if id, ok := o.found[pid]; ok {
		return id
	}
	o.found[pid] = "" // the table is read while processes move: a circle ends here
	id := o.of(p.parent)
	if id == "" {
		id = o.inMounts[o.mounts(pid)]
	}
	if id == "" {
		id = o.pauses[p.parent]
	}
	o.found[pid] = id
	return id
}
