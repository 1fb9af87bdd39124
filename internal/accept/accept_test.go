package accept

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// failing is a listener that fails with each of errs, and from then on accepts.
type failing struct {
	net.Listener
	errs  []error
	tries int
}

func (f *failing) Close() error { return nil }

func (f *failing) Accept() (net.Conn, error) {
	f.tries++
	if len(f.errs) == 0 {
		here, there := net.Pipe()
		_ = there.Close()
		return here, nil
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, &net.OpError{Op: "accept", Err: err}
}

func many(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// Want of descriptors costs a few tries a second, and no connection after it.
func TestSteady(t *testing.T) {
	for _, err := range passing {
		synctest.Test(t, func(t *testing.T) {
			f := &failing{errs: many(err, 20)}
			began := time.Now()
			conn, got := Steady(f).Accept()
			if got != nil {
				t.Fatalf("after %v: %v", err, got)
			}
			_ = conn.Close()
			// 5, 10, … 640 ms, then one second each.
			if took := time.Since(began); took < 12*time.Second || took > 15*time.Second {
				t.Errorf("20 tries after %v took %v", err, took)
			}
		})
	}
}

func TestSteadyEnds(t *testing.T) {
	for _, end := range []error{net.ErrClosed, syscall.EINVAL, errors.New("another")} {
		f := &failing{errs: []error{end}}
		if _, err := Steady(f).Accept(); !errors.Is(err, end) || f.tries != 1 {
			t.Errorf("%d tries end with %v, want one with %v", f.tries, err, end)
		}
	}
}

// Close wakes who rests.
func TestSteadyCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Steady(&failing{errs: many(syscall.EMFILE, 1<<20)})
		ended := make(chan error)
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		time.Sleep(time.Hour)
		if err := errors.Join(l.Close(), l.Close()); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ends with %v", err)
		}
	})
}
