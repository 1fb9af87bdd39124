//go:build linux

package limits

import (
	"context"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	line := "7 (a) b) S 3 7 7 0 -1 4194560 1 2 0 0 1 1 0 0 20 0 5 0 100 1000 12 18446744073709551615 1 1\n"
	p, err := parseStat(7, []byte(line))
	if want := (process{pid: 7, parent: 3, threads: 5, rss: 12 * pageSize}); err != nil || p != want {
		t.Errorf("%+v, %v; want %+v", p, err, want)
	}
	if _, err := parseStat(7, []byte("7 (a) S 3")); err == nil {
		t.Error("a short line is read")
	}
}

// TestResident: this process's memory is seen, by its shares and without.
func TestResident(t *testing.T) {
	data := make([]byte, 32<<20)
	for i := range data {
		data[i] = 1
	}
	if r := residentOf(os.Getpid()); r.anon < int64(len(data)) || r.anon > 1<<30 {
		t.Errorf("%d bytes after %d were written", r.anon, len(data))
	}
	runtime.KeepAlive(data)
	if r := residentOf(-1); r != (resident{}) {
		t.Errorf("no process has %+v", r)
	}
}

// TestGrowthIsSeenAtOnce: what grows over its limit is found as soon as Watch promises,
// and not when its turn comes. Time is virtual: to sleep moves it on.
func TestGrowthIsSeenAtOnce(t *testing.T) {
	const soon = 100 * time.Millisecond // in which 1 GiB a second is 100 MiB
	before := residentOf(os.Getpid()).anon
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		seen := make(chan Breach, 10)
		var used atomic.Int64
		w := watch{
			list: func() []Container {
				return []Container{{ID: "c", Roots: []int{os.Getpid()}, Memory: before + 128<<20}}
			},
			breached: func(b Breach) { seen <- b },
			machine:  func() machine { return machine{used: used.Load()} },
		}
		ended := make(chan struct{})
		go func() { w.run(ctx); close(ended) }()
		time.Sleep(soon)
		synctest.Wait()
		if len(seen) > 0 {
			t.Errorf("within its limit: %+v", <-seen)
		}
		// Not the runtime's, which gives memory out again that it has.
		data, err := unix.Mmap(-1, 0, 256<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
		if err != nil {
			t.Fatal(err)
		}
		used.Add(grown) // so little that only a look at who is known tells
		time.Sleep(soon)
		synctest.Wait()
		if len(seen) == 0 {
			t.Errorf("not seen %v after it grew", soon)
		} else if b := <-seen; b.What != Memory || b.Used < int64(len(data)) {
			t.Errorf("%v after it grew by %d bytes: %+v", soon, len(data), b)
		}
		cancel()
		<-ended
		if err := unix.Munmap(data); err != nil {
			t.Error(err)
		}
	})
}

// TestDue: when the containers are looked at.
func TestDue(t *testing.T) {
	at := time.Unix(1000, 0)
	quiet := machine{used: 1 << 30, processes: 65500}
	for name, tc := range map[string]struct {
		after time.Duration
		now   machine
		took  time.Duration
		want  bool
	}{
		"in turn":                     {lookEvery, quiet, 0, true},
		"nothing happened":            {glance, quiet, 0, false},
		"forks, past 65535":           {glance, machine{quiet.used, 65}, 0, true},
		"forks during the rest":       {glance, machine{quiet.used, 65}, glance, false},
		"processes ended":             {glance, machine{quiet.used, 65000}, 0, false},
		"much memory":                 {glance, machine{quiet.used + grownMuch, 65500}, 0, true},
		"memory and a process":        {glance, machine{quiet.used + grown, 65501}, 0, true},
		"memory of nobody in a limit": {glance, machine{quiet.used + grown, 65500}, 0, false},
		"memory of who is known":      {glance, machine{quiet.used + grown, 65500}, glance / 10, true},
	} {
		w := watch{last: quiet, looked: at, took: tc.took}
		if name == "memory of who is known" {
			w.known, w.limits = map[string][]int{"c": {os.Getpid()}}, map[string]int64{"c": 1 << 20}
		}
		if got := w.due(at.Add(tc.after), tc.now); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	w := watch{last: quiet, looked: at}
	w.due(at, machine{used: quiet.used - grownMuch, processes: 65500})
	if !w.due(at.Add(glance), machine{used: quiet.used, processes: 65500}) {
		t.Error("memory that was freed and taken again is growth")
	}
}

// TestPodLimit: of a pod over its limit the container that uses most ends.
func TestPodLimit(t *testing.T) {
	list := []Container{
		{ID: "a", Pod: "p", PodMemory: 100}, {ID: "b", Pod: "p", PodMemory: 100},
		{ID: "c", Pod: "q", PodMemory: 100}, {ID: "d", Pod: "r"},
	}
	got := worstOfPods(list, map[string]int64{"a": 40, "b": 61, "c": 100, "d": 500})
	if len(got) != 1 || got[0].ID != "b" {
		t.Errorf("%+v", got)
	}
}
