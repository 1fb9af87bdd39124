package http

import (
	"strings"
	"unicode/utf8"
)

// normalize is what Cilium has Envoy make of a request's path before any rule
// sees it (NormalizePath, MergeSlashes, UNESCAPE_AND_REDIRECT): escaped slashes
// become slashes, dot segments and repeated slashes go, escaped characters that
// need no escape lose it. The query stays as it is. What the rules see is what
// the server gets. redirect says that slashes were escaped: the client is sent
// to the new path instead. ok is false for a path that Envoy refuses.
func normalize(target string) (path string, redirect, ok bool) {
	path, query := target, ""
	if i := strings.IndexByte(target, '?'); i >= 0 {
		path, query = target[:i], target[i:]
	}
	if strings.IndexByte(target, '#') >= 0 || !utf8.ValidString(path) || strings.ContainsFunc(query, breaks) {
		return "", false, false
	}
	if plain(path) {
		return target, false, true
	}
	path, redirect = unescapeSlashes(path)
	path, ok = decode(plainDots(path))
	if !ok {
		return "", false, false
	}
	return mergeSlashes(removeDots(path)) + query, redirect, true
}

// breaks says whether a character in a query could end the line of an HTTP/1
// request. HTTP/2, whose fields are no lines, can send it.
func breaks(c rune) bool { return c <= ' ' || c == 0x7f }

// plain says that normalising would change nothing, which is so for nearly
// every path.
func plain(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	slash := false
	for i := range len(path) {
		c := path[i]
		switch {
		case c == '/':
			if slash {
				return false
			}
			slash = true
			continue
		case c == '.' && slash, !passes(c):
			return false
		}
		slash = false
	}
	return true
}

func unescapeSlashes(path string) (string, bool) {
	if !strings.Contains(path, "%") {
		return path, false
	}
	out := slashes.Replace(path)
	return out, out != path
}

// plainDots takes the parameters from segments . and .., which some servers do as
// well: they read ..;a=b as a step up.
func plainDots(path string) string {
	if !strings.Contains(path, "/.") || !strings.Contains(path, ";") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if name, _, _ := strings.Cut(s, ";"); name == "." || name == ".." {
			segments[i] = name
		}
	}
	return strings.Join(segments, "/")
}

var slashes = strings.NewReplacer("%2F", "/", "%2f", "/", "%5C", `\`, "%5c", `\`)

// passes says whether a byte stands in a path as it is.
func passes(c byte) bool {
	if c <= ' ' || c >= 0x7f {
		return false
	}
	switch c {
	case '"', '#', '%', '<', '>', '?', '\\', '^', '`', '{', '|', '}':
		return false
	}
	return true
}

// unreserved says whether a character needs no escape (RFC 3986, 2.3).
func unreserved(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '-' || c == '.' || c == '_' || c == '~'
}

// decode unescapes what needs no escape, escapes what needs one, and makes
// backslashes slashes, as browsers do. A NUL is refused, escaped or not, and so is
// a % that begins no escape, which Envoy leaves: it sends %%32e on as %2e, and a
// server may read that once more.
func decode(path string) (string, bool) {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(path)+8)
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == 0:
			return "", false
		case c == '\\':
			out = append(out, '/')
		case c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]):
			d := fromHex(path[i+1])<<4 | fromHex(path[i+2])
			switch {
			case d == 0:
				return "", false
			case unreserved(d):
				out = append(out, d)
			default:
				out = append(out, path[i:i+3]...)
			}
			i += 2
		case c == '%':
			return "", false // half an escape could be made whole by what follows
		case passes(c):
			out = append(out, c)
		default:
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(out), true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func fromHex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

// removeDots resolves . and .. (RFC 3986, 5.2.4); the result starts with a slash.
func removeDots(path string) string {
	var out []string
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, s)
			continue
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}

// mergeSlashes makes one of slashes in a row. Of a path that has nothing else Envoy
// leaves two, since it puts the first and the last back.
func mergeSlashes(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	if strings.Trim(path, "/") == "" {
		return "//"
	}
	out := make([]byte, 0, len(path))
	for i := range len(path) {
		if path[i] == '/' && i > 0 && path[i-1] == '/' {
			continue
		}
		out = append(out, path[i])
	}
	return string(out)
}
