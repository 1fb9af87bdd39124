//go:build linux

package userns

import "testing"

// The range of ids that a pod with users of its own has is seen; one id is none.
func TestIDsFromZero(t *testing.T) {
	for text, want := range map[string]int{
		"         0      65536      65536\n": 65536,
		"0 1000 1\n1 100000 65535\n":         1,
		"0 0 4294967295\n":                   4294967295,
		"1000 1000 1\n":                      0,
		"":                                   0,
	} {
		if got := idsFromZero(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
