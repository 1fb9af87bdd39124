package queue

import (
	"slices"
	"testing"
)

// TestLimit: over the limit the oldest go, and the newest never.
func TestLimit(t *testing.T) {
	for limit, want := range map[int][]int{0: {1, 2, 3, 4}, 1: {4}, 2: {3, 4}, 3: {3, 4}, 4: {1, 2, 3, 4}} {
		q := New[int](limit)
		for i := 1; i <= 4; i++ {
			q.Put(i)
		}
		q.Close()
		got, ok := q.Take()
		if !ok || !slices.Equal(got, want) {
			t.Errorf("limit %d: %v, want %v", limit, got, want)
		}
		if _, ok := q.Take(); ok {
			t.Errorf("limit %d: there is more", limit)
		}
	}
}
