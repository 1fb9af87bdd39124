package doctor

import (
	"strings"
	"testing"
)

func TestDemanded(t *testing.T) {
	for have, want := range map[uint64]State{2000 << 20: OK, 1999 << 20: Warning, 1000 << 20: Warning, 999 << 20: Failed, 0: Failed} {
		r := demanded("id", "There is room", have, 1000<<20, "make room")
		if r.State != want || (want != OK) != (r.Cure == "make room") || (want != OK) != strings.Contains(r.Cause, "takes some 1000") {
			t.Errorf("with %d MB: %+v", have>>20, r)
		}
	}
}

func TestAvailable(t *testing.T) {
	if got, ok := available([]byte("MemTotal:       16000 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\n")); !ok || got != 2<<20 {
		t.Errorf("available are %d, %v", got, ok)
	}
	for _, text := range []string{"", "MemAvailable:", "MemAvailable: x kB", "MemTotal: 5 kB"} {
		if got, ok := available([]byte(text)); ok {
			t.Errorf("%q: %d", text, got)
		}
	}
}
