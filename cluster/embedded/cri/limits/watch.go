//go:build linux

package limits

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// glance is how often the machine's free memory and its number of processes are
	// asked for: one system call.
	glance = 20 * time.Millisecond
	// lookEvery is how long at most the containers go unseen.
	lookEvery = time.Second
	// rest keeps looks to a small part of the time, whatever the machine does: a
	// look is followed by a rest of so many times its length.
	rest = 25
	// restKnown is the same where somebody forks, or a container that was seen before
	// grows.
	restKnown = 4
	// grown is by how much the machine's memory in use has to grow for a glance at
	// the processes that are known, grownMuch for a look whoever it is that grows,
	// and forked by how many processes there have to be more.
	grown     = 8 << 20
	grownMuch = 64 << 20
	forked    = 100
)

// Watch looks after containers until ctx ends. list gives those that run;
// breached is called for each that is over a limit, as often as it is seen so.
// A container that takes 1 GiB a second is seen before it has taken 100 MiB more
// than it may, where the machine gives this process its turn.
func Watch(ctx context.Context, list func() []Container, breached func(Breach)) {
	w := watch{list: list, breached: breached, machine: machineNow}
	w.run(ctx)
}

func (w *watch) run(ctx context.Context) {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if w.due(now, w.machine()) {
				w.look()
			}
		}
	}
}

// machine is what a glance shows of the whole machine.
type machine struct {
	used      int64 // bytes of memory in use
	processes int   // threads, modulo 65536
}

// machineNow is the zero value where the kernel does not tell: looks come in
// turn then.
func machineNow() machine {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return machine{}
	}
	unit := int64(info.Unit)
	return machine{used: (int64(info.Totalram) - int64(info.Freeram)) * unit, processes: int(info.Procs)}
}

type watch struct {
	list     func() []Container
	breached func(Breach)
	machine  func() machine // what a glance shows

	last   machine   // at the last look; memory that was freed since is no growth
	looked time.Time // when the last look ended
	took   time.Duration
	// known are processes of containers with a limit of memory, by container, and
	// the limits: what a glance at one that grows is worth.
	known  map[string][]int
	limits map[string]int64
}

// due says whether the containers have to be looked at now.
func (w *watch) due(now time.Time, m machine) bool {
	since := now.Sub(w.looked)
	w.last.used = min(w.last.used, m.used)
	more := uint16(m.processes - w.last.processes)
	fork := more > forked && more < 1<<15
	growth := m.used-w.last.used >= grown
	switch {
	case since >= lookEvery:
		return true
	case since < restKnown*w.took:
		return false
	case fork, growth && w.knownOver():
		return true
	case since < rest*w.took:
		return false
	}
	return growth && m.processes != w.last.processes || m.used-w.last.used >= grownMuch
}

// knownOver says whether processes that were seen in the last look have grown
// over their container's limit.
func (w *watch) knownOver() bool {
	for id, pids := range w.known {
		var sum int64
		for _, pid := range pids {
			if p, err := readProcess(pid); err == nil {
				sum += p.rss
			}
		}
		if sum > w.limits[id] {
			return true
		}
	}
	return false
}

func (w *watch) look() {
	start := time.Now()
	w.last = w.machine()
	defer func() {
		w.looked = time.Now()
		w.took = w.looked.Sub(start)
	}()
	containers := w.list()
	w.known, w.limits = map[string][]int{}, map[string]int64{}
	if len(containers) == 0 {
		return
	}
	table, err := processes()
	if err != nil {
		return // /proc is not there: the next look may see more
	}
	of := owners(table, containers, mountsOf)
	for _, b := range examine(containers, of) {
		w.breached(b)
	}
	for _, c := range containers {
		if c.Memory == 0 {
			continue
		}
		w.limits[c.ID] = c.Memory
		for _, p := range of[c.ID] {
			w.known[c.ID] = append(w.known[c.ID], p.pid)
		}
	}
}
