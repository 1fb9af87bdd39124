//go:build linux

// Command archive writes a container image to standard output, for `docker load`
// and `ctr images import`. It needs no daemon and no registry.
//
//	archive -tag NAME[,NAME] [-entrypoint A,B] [-user U] [-env K=V] [-stop-signal S]
//	        [-layer FILE.tar]… [FILE=/PATH]… [/LINK->TARGET]…
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/netdojo/netdojo/cluster/image"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var (
		flags      = flag.NewFlagSet("archive", flag.ContinueOnError)
		tags       = flags.String("tag", "", "the image's names, with commas between")
		entrypoint = flags.String("entrypoint", "", "its command, with commas between")
		config     image.Config
		layers     []image.Layer
	)
	flags.StringVar(&config.User, "user", "", "who runs it")
	flags.StringVar(&config.StopSignal, "stop-signal", "", "what ends it")
	flags.Func("env", "a variable", func(s string) error { config.Env = append(config.Env, s); return nil })
	flags.Func("layer", "a tar of files", func(s string) error { layers = append(layers, image.TarFile(s)); return nil })
	if err := flags.Parse(args); err != nil {
		return err
	}
	config.Env = append(config.Env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	config.WorkingDir = "/"
	if *entrypoint != "" {
		config.Entrypoint = strings.Split(*entrypoint, ",")
	}
	var files []image.File
	for _, arg := range flags.Args() {
		if link, target, ok := strings.Cut(arg, "->"); ok {
			files = append(files, image.File{Path: strings.TrimPrefix(link, "/"), Link: target})
			continue
		}
		source, path, ok := strings.Cut(arg, "=/")
		if !ok {
			return fmt.Errorf("%q is neither FILE=/PATH nor /LINK->TARGET", arg)
		}
		files = append(files, image.File{Path: path, Source: source, Mode: 0o755})
	}
	if len(files) > 0 {
		layers = append(layers, image.Files(files...))
	}
	img, err := image.Build(config, layers...)
	if err != nil {
		return err
	}
	named := map[string]v1.Image{}
	for _, tag := range strings.Split(*tags, ",") {
		named[tag] = img
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	if err := image.Write(out, named); err != nil {
		return err
	}
	return out.Flush()
}
