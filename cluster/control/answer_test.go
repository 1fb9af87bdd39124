package control

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// spaces are white space without end.
type spaces struct{ read int64 }

func (s *spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	s.read += int64(len(p))
	return len(p), nil
}

// TestDecodeBound: a call without end is refused soon, with the bound.
func TestDecodeBound(t *testing.T) {
	body := &spaces{}
	_, err := Decode[Names](httptest.NewRequest(http.MethodPost, "/", io.NopCloser(body)))
	var f *Failure
	if !errors.As(err, &f) || f.Code != http.StatusRequestEntityTooLarge || !strings.Contains(f.Body.Message, "16 MiB") {
		t.Errorf("got %v", err)
	}
	if body.read > 2*MaxCall {
		t.Errorf("%d bytes were read", body.read)
	}
	in, err := Decode[Names](httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"names":["a.example"]}`)))
	if err != nil || len(in.Names) != 1 {
		t.Errorf("got %+v, %v", in, err)
	}
}
