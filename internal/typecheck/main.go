// Command typecheck checks that packages compile for another system without compiling
// them: it checks the types of their sources and of all that they link. That takes a
// tenth of the time, and finds what differs by system: a name that one of them lacks, a
// package that it does not have. It generates no code and links nothing.
//
//	typecheck OS-ARCH PACKAGE...
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: typecheck OS-ARCH PACKAGE...")
		os.Exit(2)
	}
	if err := check(".", os.Args[1], os.Args[2:]...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check says what of the packages of the module in dir, or of what they link, does not
// compile for a system.
func check(dir, system string, patterns ...string) error {
	goos, arch, ok := strings.Cut(system, "-")
	if !ok {
		return fmt.Errorf("%q is no OS-ARCH, as darwin-arm64 is", system)
	}
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.LoadAllSyntax,
		Dir:  dir,
		Env:  append(os.Environ(), "GOOS="+goos, "GOARCH="+arch, "CGO_ENABLED=0"),
	}, patterns...)
	if err != nil {
		return fmt.Errorf("load packages for %s: %w", system, err)
	}
	var errs []error
	packages.Visit(loaded, nil, func(p *packages.Package) {
		for _, e := range p.Errors {
			errs = append(errs, fmt.Errorf("%s: %w", system, e))
		}
	})
	return errors.Join(errs...)
}
