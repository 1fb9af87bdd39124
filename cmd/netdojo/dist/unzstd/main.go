// Command unzstd writes what was compressed by zstd on standard input to standard
// output. It lies in a release beside install.sh, since a small Linux system has tar and
// no zstd.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// window is the memory that dist.sh's `zstd --long=27` wants, in bytes.
const window = 1 << 27

func main() {
	if err := decompress(os.Stdout, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "unzstd:", err)
		os.Exit(1)
	}
}

func decompress(out io.Writer, in io.Reader) error {
	z, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return err
	}
	defer z.Close()
	_, err = io.Copy(out, z)
	return err
}
