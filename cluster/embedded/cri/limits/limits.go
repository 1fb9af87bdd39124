//go:build linux

// Package limits keeps containers to their limits of memory and of processes by
// looking, for nodes whose containers have no control groups. It finds who is
// over a limit; ending them is the container runtime's.
//
// Memory is what Kubernetes means by it less what the kernel could take back
// anyway: anonymous pages, each counted once however many of the container's
// processes share it, and files in memory: shared mappings, memfds, and the
// pod's own tmpfs volumes, which are split among the containers that mount them.
// Kernel memory (page tables, sockets' and pipes' buffers) is not counted, nor a
// segment of System V shared memory that nobody has attached.
package limits

// Container is what has to be known of a running container.
type Container struct {
	ID, Pod string
	// Roots are processes, by their numbers here, whose descendants are the
	// container's: its command, and what has been executed in it since.
	Roots []int
	// Pause is PID 1 of a PID namespace that the pod's containers share; 0 for none.
	Pause     int
	Mounts    uint64   // inode of its mount namespace; 0 when it is not known
	Memory    int64    // bytes; 0 for no limit
	PodMemory int64    // bytes for the whole pod; 0 for no limit
	Processes int      // threads counted, as control groups do; 0 for no limit
	Tmpfs     []string // folders here that it mounts and that are the pod's own
}

// Resource is what a limit is of.
type Resource string

// Resources with limits.
const (
	Memory    Resource = "memory"
	PodMemory Resource = "memory of the pod"
	Processes Resource = "processes"
)

// Breach is a container over a limit.
type Breach struct {
	Container   string // its ID
	What        Resource
	Used, Limit int64 // bytes, or processes
	PIDs        []int // the container's, as they were found
}

// examine finds the containers that are over a limit, each at most once.
func examine(containers []Container, of map[string][]process) []Breach {
	var found []Breach
	over := map[string]bool{}
	breach := func(c Container, what Resource, used, limit int64) {
		if over[c.ID] {
			return
		}
		over[c.ID] = true
		b := Breach{Container: c.ID, What: what, Used: used, Limit: limit}
		for _, p := range of[c.ID] {
			b.PIDs = append(b.PIDs, p.pid)
		}
		found = append(found, b)
	}
	for _, c := range containers {
		threads := 0
		for _, p := range of[c.ID] {
			threads += p.threads
		}
		if c.Processes > 0 && threads > c.Processes {
			breach(c, Processes, int64(threads), int64(c.Processes))
		}
	}
	used := memoryUse(containers, of)
	for _, c := range containers {
		if c.Memory > 0 && used[c.ID] > c.Memory {
			breach(c, Memory, used[c.ID], c.Memory)
		}
	}
	for _, c := range worstOfPods(containers, used) {
		breach(c, PodMemory, podUse(containers, used, c.Pod), c.PodMemory)
	}
	return found
}

// memoryUse is the memory of the containers with limits of it: an upper bound,
// which costs little, while that is within the limits, else the exact figure.
func memoryUse(containers []Container, of map[string][]process) map[string]int64 {
	shares := tmpfsShares(containers)
	accounts, bounds := map[string]account{}, map[string]int64{}
	for _, c := range containers {
		if c.Memory > 0 || c.PodMemory > 0 {
			a := accountOf(of[c.ID], shares[c.ID])
			accounts[c.ID], bounds[c.ID] = a, a.resident+a.files
		}
	}
	used := map[string]int64{}
	for _, c := range containers {
		a, limited := accounts[c.ID]
		switch {
		case !limited:
		case c.Memory > 0 && bounds[c.ID] > c.Memory, c.PodMemory > 0 && podUse(containers, bounds, c.Pod) > c.PodMemory:
			used[c.ID] = a.exact(of[c.ID])
		default:
			used[c.ID] = bounds[c.ID]
		}
	}
	return used
}

// account is what is cheaply known of a container's memory, in bytes.
type account struct {
	resident int64 // all pages of its processes, shared ones for each
	files    int64 // in memory: its part of tmpfs, its memfds
}

func accountOf(procs []process, tmpfs int64) account {
	a := account{files: tmpfs}
	open := map[inode]int64{}
	for _, p := range procs {
		a.resident += p.rss
		for file, bytes := range memfds(p.pid) {
			open[file] = bytes
		}
	}
	for _, bytes := range open {
		a.files += bytes
	}
	return a
}

// exact looks at the processes' pages.
func (a account) exact(procs []process) int64 {
	var anon, mapped int64
	for _, p := range procs {
		r := residentOf(p.pid)
		anon += r.anon
		mapped += r.shmem
	}
	// A file in memory may be mapped too: it counts once.
	return anon + max(mapped, a.files)
}

// worstOfPods is, of each pod over its limit, the container that uses most.
func worstOfPods(containers []Container, used map[string]int64) []Container {
	worst := map[string]Container{}
	for _, c := range containers {
		if c.PodMemory == 0 || podUse(containers, used, c.Pod) <= c.PodMemory {
			continue
		}
		if w, ok := worst[c.Pod]; !ok || used[c.ID] > used[w.ID] {
			worst[c.Pod] = c
		}
	}
	list := make([]Container, 0, len(worst))
	for _, c := range worst {
		list = append(list, c)
	}
	return list
}

func podUse(containers []Container, used map[string]int64, pod string) int64 {
	var sum int64
	for _, c := range containers {
		if c.Pod == pod {
			sum += used[c.ID]
		}
	}
	return sum
}

// tmpfsShares splits what each file system in memory holds among the containers
// that mount it.
func tmpfsShares(containers []Container) map[string]int64 {
	type volume struct {
		bytes int64
		users map[string]bool
	}
	volumes := map[uint64]*volume{}
	for _, c := range containers {
		for _, dir := range c.Tmpfs {
			dev, bytes, ok := tmpfsUse(dir)
			if !ok {
				continue
			}
			if volumes[dev] == nil {
				volumes[dev] = &volume{users: map[string]bool{}}
			}
			volumes[dev].bytes = bytes
			volumes[dev].users[c.ID] = true
		}
	}
	shares := map[string]int64{}
	for _, v := range volumes {
		for id := range v.users {
			shares[id] += v.bytes / int64(len(v.users))
		}
	}
	return shares
}
