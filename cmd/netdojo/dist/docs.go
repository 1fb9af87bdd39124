package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cluster/existing"
	"github.com/netdojo/netdojo/cluster/kind"
	"github.com/netdojo/netdojo/cmd/netdojo/app"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
)

// docs writes completions and man pages below dir, where bash, zsh, fish and man look
// for them below a prefix. PowerShell has no such place.
func docs(system, dir string, date time.Time) error {
	root := command(system)
	for _, c := range []struct {
		file  string
		write func(string) error
	}{
		{"share/bash-completion/completions/netdojo", func(file string) error { return root.GenBashCompletionFileV2(file, true) }},
		{"share/zsh/site-functions/_netdojo", root.GenZshCompletionFile},
		{"share/fish/vendor_completions.d/netdojo.fish", func(file string) error { return root.GenFishCompletionFile(file, true) }},
		{"share/netdojo/netdojo.ps1", root.GenPowerShellCompletionFileWithDesc},
	} {
		file := filepath.Join(dir, filepath.FromSlash(c.file))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := c.write(file); err != nil {
			return fmt.Errorf("write %s: %w", c.file, err)
		}
	}
	man := filepath.Join(dir, "share", "man", "man1")
	if err := os.MkdirAll(man, 0o755); err != nil {
		return err
	}
	header := &doc.GenManHeader{Title: "NETDOJO", Section: "1", Date: &date, Source: "netdojo", Manual: "netdojo"}
	if err := doc.GenManTree(root, header, man); err != nil {
		return fmt.Errorf("write the man pages: %w", err)
	}
	return nil
}

// command is netdojo's command line as it is on a system, which decides what the
// default provider is. Nothing of it is run.
func command(system string) *cobra.Command {
	s, _, _ := streams.Test("")
	names := []string{embedded.Name, kind.Name}
	if system != "linux" {
		slices.Reverse(names)
	}
	e := &env.Env{Streams: s}
	for _, name := range append(names, existing.Name) {
		e.Kinds = append(e.Kinds, env.Kind{Name: name})
	}
	root := app.New(e)
	root.DisableAutoGenTag = true
	return root
}
