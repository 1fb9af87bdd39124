// Command dist makes the parts of a release's archive that are no program: shell
// completions and man pages, the licences of what is linked, and the archive itself.
// The same input gives the same bytes. dist.sh calls it, and `make dist` calls that.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

const usage = `usage:
  dist docs OS FOLDER              completions and man pages as they are on that system
  dist notices FILE PROGRAM...     the licences of all modules that the programs link
  dist pack FOLDER ARCHIVE         a .tar or .zip that holds FOLDER

SOURCE_DATE_EPOCH is the date of pages and files, in seconds since 1970.`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("read SOURCE_DATE_EPOCH: %w", err)
	}
	date := time.Unix(seconds, 0).UTC()
	switch {
	case len(args) == 3 && args[0] == "docs":
		return docs(args[1], args[2], date)
	case len(args) > 2 && args[0] == "notices":
		return notices(args[1], args[2:])
	case len(args) == 3 && args[0] == "pack":
		return pack(args[1], args[2], date)
	}
	return fmt.Errorf("the arguments are wrong\n%s", usage)
}
