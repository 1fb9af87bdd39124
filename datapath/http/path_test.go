package http

import (
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	for _, c := range []struct {
		in, want string
		redirect bool
		refused  bool
	}{
		{in: "/", want: "/"},
		{in: "/public", want: "/public"},
		{in: "/a/b?x=1/../2", want: "/a/b?x=1/../2"},
		{in: "/a?", want: "/a?"},
		{in: "", want: "/"},
		{in: "a/b/../c", want: "/a/c"},
		{in: "/a/b/../c", want: "/a/c"},
		{in: "/a/b/./c", want: "/a/b/c"},
		{in: "/a/b/..", want: "/a/"},
		{in: "/a/.", want: "/a/"},
		{in: "/..", want: "/"},
		{in: "/a/b/../../../../c", want: "/c"},
		{in: `/a/..\c`, want: "/c"},
		{in: `\a\b`, want: "/a/b"},
		{in: "/public/%2e%2e/private", want: "/private"},
		{in: "/public/%2E./private", want: "/private"},
		{in: "/public/..%2fprivate", want: "/private", redirect: true},
		{in: "/public%5c..%5Cprivate?q", want: "/private?q", redirect: true},
		{in: "/a%2Fb", want: "/a/b", redirect: true},
		{in: "//private", want: "/private"},
		{in: "/a///b//?c=//d", want: "/a/b/?c=//d"},
		{in: "/%70rivate", want: "/private"},
		{in: "/%252e%252e/a", want: "/%252e%252e/a"},
		{in: "/%c0%af", want: "/%c0%af"},
		{in: "/%25", want: "/%25"},
		{in: "/...", want: "/..."},
		{in: "/.hidden", want: "/.hidden"},
		{in: "/a;b=c,d:@!$&'()*+[]|^", want: "/a;b=c,d:@!$&'()*+[]%7C%5E"},
		{in: "//", want: "//"},
		{in: "///?a", want: "//?a"},
		{in: "//a///b//", want: "/a/b/"},
		{in: "/a/..;b=c/d", want: "/d"},
		{in: "/a/.;/d;e", want: "/a/d;e"},
		{in: "/a/%2e.;b/c", want: "/a/..;b/c"},
		{in: "/ä<>", want: "/%C3%A4%3C%3E"},
		{in: "/%zz", refused: true},
		{in: "/%", refused: true},
		{in: "/%2%65%2e", refused: true},
		{in: "/a%00", refused: true},
		{in: "/.%00../b", refused: true},
		{in: "/AAA%%0000/b", refused: true},
		{in: "/a#b", refused: true},
		{in: "/a?b#c", refused: true},
		{in: "/\xff", refused: true},
	} {
		got, redirect, ok := normalize(c.in)
		if ok == c.refused || got != c.want || redirect != c.redirect {
			t.Errorf("normalize(%q) = %q, %v, %v", c.in, got, redirect, ok)
		}
	}
}

// FuzzNormalize holds what path rules count on, whatever a client sends.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e%2f", `\..\`, "//a//b?//", "/%", "/%2", "a%5c", "/%25%32%65"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, _, ok := normalize(in)
		if !ok {
			return
		}
		path, _, _ := strings.Cut(out, "?")
		_, query, _ := strings.Cut(in, "?")
		if !strings.HasPrefix(out, "/") || strings.Contains(path, "//") || strings.Contains(path, `\`) {
			t.Errorf("%q → %q", in, out)
		}
		for _, s := range strings.Split(path, "/") {
			if lower := strings.ToLower(s); s == "." || s == ".." || strings.Contains(lower, "%2e") || strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") {
				t.Errorf("%q → %q: segment %q", in, out, s)
			}
		}
		if !strings.HasSuffix(out, query) {
			t.Errorf("%q → %q: the query changed", in, out)
		}
		for i := range len(path) {
			if c := path[i]; c <= ' ' || c >= 0x7f {
				t.Errorf("%q → %q: byte %#x", in, out, c)
			}
		}
		again, redirect, ok := normalize(out)
		if !ok || again != out || redirect {
			t.Errorf("%q → %q → %q: not stable", in, out, again)
		}
	})
}
