// Package busybox holds the network programs that the stand-ins for busybox and
// alpine have in place of the host's: they make one attempt, take busybox's flags,
// print its texts and end with its exit codes. Where its source and this package
// differ, its source is right.
package busybox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// program is one run of an applet.
type program struct {
	name string
	applet
	in       *os.File
	out, err io.Writer
}

type applet struct {
	run     func(*program, []string) int
	options optionSet
	help    string
}

var applets = map[string]applet{
	"wget":     {(*program).wget, wgetOptions, wgetUsage},
	"nc":       {(*program).nc, ncOptions, ncUsage},
	"nslookup": {(*program).nslookup, optionSet{}, nslookupUsage},
}

// Has says whether name is one of the programs.
func Has(name string) bool {
	_, ok := applets[name]
	return ok
}

// Names lists the programs.
func Names() []string {
	var names []string
	for name := range applets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Run runs the program of that name and returns its exit code.
func Run(name string, args []string) int {
	p := &program{name: name, applet: applets[name], in: os.Stdin, out: os.Stdout, err: os.Stderr}
	return p.run(p, args)
}

// fail prints a line as busybox does and returns the exit code of all failures.
func (p *program) fail(format string, args ...any) int {
	fmt.Fprintf(p.err, p.name+": "+format+"\n", args...)
	return 1
}

func (p *program) usage() int {
	fmt.Fprintf(p.err, "BusyBox v1.36.1 (netdojo stand-in) multi-call binary.\n\nUsage: %s\n", p.help)
	return 1
}

// optionSet names a program's options: short ones that take no value, short ones
// that take one, and long names for short ones.
type optionSet struct {
	flags, values string
	long          map[string]byte
}

// options are an option's values, in order; one without value has empty ones.
type options map[byte][]string

func (o options) has(c byte) bool { return len(o[c]) > 0 }

func (o options) last(c byte) string {
	if v := o[c]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// parse splits a command line as getopt does, options and operands mixed unless
// the option stop was seen: what follows its value is operands. A command line
// that is wrong has been complained of when ok is false.
func (p *program) parse(args []string, stop byte) (o options, operands []string, ok bool) {
	set := p.options
	o = options{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return o, append(operands, args...), true
		case strings.HasPrefix(arg, "--"):
			name, value, given := strings.Cut(arg[2:], "=")
			c, known := set.long[name]
			if !known {
				p.fail("unrecognized option '--%s'", name)
				p.usage()
				return nil, nil, false
			}
			if !given && strings.IndexByte(set.values, c) >= 0 {
				if len(args) == 0 {
					p.fail("option '--%s' requires an argument", name)
					p.usage()
					return nil, nil, false
				}
				value, args = args[0], args[1:]
			}
			o[c] = append(o[c], value)
		case len(arg) > 1 && arg[0] == '-':
			for i := 1; i < len(arg); i++ {
				c := arg[i]
				if strings.IndexByte(set.flags, c) >= 0 {
					o[c] = append(o[c], "")
					continue
				}
				if strings.IndexByte(set.values, c) < 0 {
					p.fail("invalid option -- '%c'", c)
					p.usage()
					return nil, nil, false
				}
				value := arg[i+1:]
				if value == "" {
					if len(args) == 0 {
						p.fail("option requires an argument -- '%c'", c)
						p.usage()
						return nil, nil, false
					}
					value, args = args[0], args[1:]
				}
				o[c] = append(o[c], value)
				if c == stop {
					return o, append(operands, args...), true
				}
				break
			}
		default:
			operands = append(operands, arg)
		}
	}
	return o, operands, true
}

// number reads an option's number; without the option it is 0.
func (p *program) number(o options, c byte) (n int, ok bool) {
	if !o.has(c) {
		return 0, true
	}
	n, err := strconv.Atoi(o.last(c))
	if err != nil || n < 0 {
		p.fail("invalid number '%s'", o.last(c))
		return 0, false
	}
	return n, true
}

// lookup finds the address that busybox would use: the first, of IPv4 if there is
// one.
func lookup(ctx context.Context, host string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return a, true
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return netip.Addr{}, false
	}
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			return a, true
		}
	}
	return addrs[0], true
}

// reason is what strerror says of a failed call.
func reason(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err) {
		return "Connection timed out"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		text := errno.Error()
		return strings.ToUpper(text[:1]) + text[1:]
	}
	return err.Error()
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

// idle is a connection that fails when nothing comes for a time; zero waits.
type idle struct {
	net.Conn
	wait time.Duration
}

func (c idle) Read(b []byte) (int, error) {
	if c.wait > 0 {
		if err := c.SetReadDeadline(time.Now().Add(c.wait)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}
