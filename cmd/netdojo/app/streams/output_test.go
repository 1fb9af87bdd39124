package streams_test

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
)

// full is a disk that takes four bytes more.
type full struct{ bytes.Buffer }

func (f *full) Write(p []byte) (int, error) {
	if f.Len()+len(p) > 4 {
		return 0, syscall.ENOSPC
	}
	return f.Buffer.Write(p)
}

func TestWriteError(t *testing.T) {
	disk := &full{}
	s := &streams.Streams{Out: streams.Watched(disk)}
	if s.Inherited() != disk {
		t.Error("a program in the foreground does not get the file itself")
	}
	fmt.Fprint(s.Out, "four")
	if err := s.WriteError(); err != nil {
		t.Fatalf("error %v though all was written", err)
	}
	fmt.Fprint(s.Out, "more")
	fmt.Fprint(s.Out, "") // which would be written
	var werr *streams.WriteError
	if err := s.WriteError(); !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &werr) || werr.Cure() == "" {
		t.Errorf("error %v, want ENOSPC with a cure", err)
	}
	if disk.String() != "four" {
		t.Errorf("written: %q", disk)
	}
}
