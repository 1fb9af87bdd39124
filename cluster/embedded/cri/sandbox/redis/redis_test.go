package redis

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

// TestCommands: what a connection answers to a stream of commands.
func TestCommands(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"PING\r\n", "+PONG\r\n"},
		{"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
		{"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n*2\r\n$3\r\nget\r\n$1\r\nk\r\n", "+OK\r\n$4\r\na\r\nb\r\n"},
		{"get none\r\n", "$-1\r\n"},
		{"incr n\r\nincr n\r\ndecr n\r\nget n\r\n", ":1\r\n:2\r\n:1\r\n$1\r\n1\r\n"},
		{"set n x\r\nincr n\r\n", "+OK\r\n-ERR value is not an integer or out of range\r\n"},
		{"append l a\r\nappend l b\r\nget l\r\n", ":1\r\n:2\r\n$2\r\nab\r\n"},
		{"set a 1\r\nexists a b\r\nkeys *\r\ndel a\r\ndbsize\r\n", "+OK\r\n:1\r\n*1\r\n$1\r\na\r\n:1\r\n:0\r\n"},
		{"quit\r\nping\r\n", "+OK\r\n"},
		{"nonsense\r\n", "-ERR unknown command 'nonsense'\r\n"},
		{"get\r\nget a b\r\n", "-ERR wrong number of arguments for 'get' command\r\n-ERR wrong number of arguments for 'get' command\r\n"},
		{"*1\r\n$99999999\r\n", "-ERR Protocol error\r\n"},
		{"*9999999\r\n", "-ERR Protocol error\r\n"},
		{"*1\r\nPING\r\n", "-ERR Protocol error\r\n"},
		{strings.Repeat("x", 10000), "-ERR Protocol error\r\n"},
	} {
		var out bytes.Buffer
		(&server{data: map[string]string{}}).talk(bufio.NewReader(strings.NewReader(tc.in)), &out)
		if out.String() != tc.want {
			t.Errorf("%q: %q, want %q", tc.in, &out, tc.want)
		}
	}
	var out bytes.Buffer
	(&server{data: map[string]string{}}).talk(bufio.NewReader(strings.NewReader("info replication\r\n")), &out)
	if !strings.Contains(out.String(), "role:master\r\n") {
		t.Errorf("INFO says %q", &out)
	}
}

func TestClientShows(t *testing.T) {
	for in, want := range map[string]string{
		"+PONG\r\n": "PONG\n", ":2\r\n": "2\n", "$2\r\nab\r\n": "ab\n", "$-1\r\n": "\n", "*2\r\n$1\r\na\r\n:1\r\n": "a\n1\n",
	} {
		var out bytes.Buffer
		if err := show(&out, bufio.NewReader(strings.NewReader(in))); err != nil || out.String() != want {
			t.Errorf("%q: %q, %v, want %q", in, &out, err, want)
		}
	}
	for _, in := range []string{"", "?\r\n", "\r\n", "$x\r\n", "$5\r\nab"} {
		if err := show(&bytes.Buffer{}, bufio.NewReader(strings.NewReader(in))); err == nil {
			t.Errorf("%q is no error", in)
		}
	}
}
