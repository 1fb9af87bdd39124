package metricsapi

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// load uses so many cores from the clock's beginning.
type load struct {
	clock   *time.Time
	cores   map[Container]float64
	asked   int
	failing error
}

var zero = time.Unix(1700000000, 0)

const mebibyte = 1 << 20

func (l *load) used(cores float64) Use {
	return Use{CPU: time.Duration(cores * float64(l.clock.Sub(zero))), Memory: uint64(cores * mebibyte)}
}

func (l *load) Containers(context.Context) (map[Container]Use, error) {
	l.asked++
	out := map[Container]Use{}
	for c, cores := range l.cores {
		out[c] = l.used(cores)
	}
	return out, l.failing
}

func (l *load) Node(context.Context) (Use, error) { return l.used(3), nil }

func newTestMeter() (*Meter, *load, *time.Time) {
	clock := zero
	l := &load{clock: &clock, cores: map[Container]float64{{"default", "web", "web", "1"}: 0.25, {"default", "db", "db", "2"}: 1.5}}
	m := NewMeter(l)
	m.now = func() time.Time { return clock }
	m.wait = func(_ context.Context, d time.Duration) error { clock = clock.Add(d); return nil }
	return m, l, &clock
}

func TestMeasure(t *testing.T) {
	m, l, clock := newTestMeter()
	measure := func(window time.Duration, asked int, want map[string]float64) {
		t.Helper()
		got, err := m.Measure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cores := map[string]float64{}
		for c, r := range got.Containers {
			cores[c.Name+c.ID] = r.CPU
			if want := uint64(l.cores[c] * mebibyte); r.Memory != want {
				t.Errorf("%v has %d bytes, want %d", c, r.Memory, want)
			}
		}
		if got.Window != window || l.asked != asked || !maps.Equal(cores, want) || got.Node.CPU != 3 {
			t.Errorf("window %s, asked %d times, %v, node %v; want %s, %d, %v", got.Window, l.asked, cores, got.Node, window, asked, want)
		}
	}
	both := map[string]float64{"web1": 0.25, "db2": 1.5}
	measure(firstWindow, 2, both) // nothing was measured before
	measure(firstWindow, 2, both) // the same answer
	*clock = clock.Add(15 * time.Second)
	measure(15*time.Second, 3, both) // since the last question
	*clock = clock.Add(10 * time.Minute)
	measure(firstWindow, 5, both) // long after it

	// One is replaced: the new one is measured for a while.
	delete(l.cores, Container{"default", "web", "web", "1"})
	l.cores[Container{"default", "web", "web", "3"}] = 0.5
	*clock = clock.Add(5 * time.Second)
	measure(5*time.Second+firstWindow, 7, map[string]float64{"db2": 1.5, "web3": 0.5})
	*clock = clock.Add(5 * time.Second)
	measure(5*time.Second, 8, map[string]float64{"db2": 1.5, "web3": 0.5})

	// What a child used that nobody waited for is gone with it: never less than nothing.
	l.cores[Container{"default", "db", "db", "2"}] = 0.1
	*clock = clock.Add(5 * time.Second)
	measure(5*time.Second, 9, map[string]float64{"db2": 0, "web3": 0.5})

	*clock = clock.Add(5 * time.Second)
	l.failing = errors.New("gone")
	if _, err := m.Measure(t.Context()); !errors.Is(err, l.failing) {
		t.Errorf("without a measurement: %v", err)
	}
}

// TestMeasureEnds: who no longer waits for the first window is not held.
func TestMeasureEnds(t *testing.T) {
	_, l, _ := newTestMeter()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewMeter(l).Measure(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestMachine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("stat", "cpu  100 20 30 4000 500 6 7 800 90 10\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
	write("meminfo", "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     400 kB\n")
	got, err := Machine(dir)
	if want := (Use{CPU: 163 * clockTick, Memory: 600 << 10}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for name, text := range map[string]string{"stat": "cpu 1 x\n", "meminfo": "MemTotal: 10 kB\nMemAvailable: 20 kB\n"} {
		before, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		write(name, text)
		if _, err := Machine(dir); err == nil || !strings.Contains(err.Error(), "read the machine's") {
			t.Errorf("%s of %q: %v", name, text, err)
		}
		write(name, string(before))
	}
	if u, err := Machine("/proc"); err != nil || u.CPU == 0 || u.Memory == 0 {
		t.Errorf("this machine uses %+v, %v", u, err)
	}
}
