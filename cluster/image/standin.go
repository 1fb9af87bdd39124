package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// StandIn is what takes an image's place when the store does not have it: a
// root with an /etc of its own, the host's programs, and perhaps a server.
type StandIn struct {
	Name    string   // short, for people: json-mock
	Images  []string // repositories by full name, as patterns of path.Match
	Summary string   // what it is, for events and lists
	Config  Config
	// Files are put into the root, by path; those below usr/bin, usr/sbin and
	// the root itself are executable.
	Files map[string]string
	Dirs  []string          // folders that every user may write into, by path
	Links map[string]string // symbolic links in the root, by path
	Needs []Tool            // programs of the host without which it is useless
	// Program is bound to a path of the root: which one, and where.
	Program Program
}

// Tool is a program of the host and the Debian package that has it.
type Tool struct{ Command, Package string }

// Program is a program of netdojo's that a stand-in runs.
type Program int

// The programs.
const (
	NoProgram Program = iota
	HelperProgram
	CoreDNSProgram
	CiliumProgram // with the helper
)

// Where the programs are in a stand-in's root.
const (
	helperPath  = "netdojo-helper"
	coreDNSPath = "coredns"
	ciliumPath  = "netdojo-cilium"
)

// StandIns returns the table of stand-ins.
func StandIns() []StandIn { return slices.Clone(standIns) }

// StandInFor returns the stand-in of an image's name, nil when it has none.
func StandInFor(ref string) (*StandIn, error) {
	r, err := parse(ref)
	if err != nil {
		return nil, err
	}
	return findStandIn(r), nil
}

func findStandIn(r reference) *StandIn {
	for i := range standIns {
		for _, pattern := range standIns[i].Images {
			if ok, err := path.Match(pattern, r.repo); err == nil && ok {
				return &standIns[i]
			}
		}
	}
	return nil
}

// Missing names the host's programs that a stand-in needs and root lacks.
func (s *StandIn) Missing(hostRoot string) []Tool {
	var missing []Tool
	for _, t := range s.Needs {
		found := false
		for _, dir := range []string{"usr/bin", "usr/sbin", "bin", "sbin", "usr/local/bin"} {
			info, err := os.Stat(filepath.Join(hostRoot, dir, t.Command))
			found = found || err == nil && !info.IsDir()
		}
		if !found {
			missing = append(missing, t)
		}
	}
	return missing
}

// MissingToolError is a stand-in whose host lacks a program.
type MissingToolError struct {
	Ref  string
	Tool Tool
}

func (e *MissingToolError) Error() string {
	return fmt.Sprintf("the stand-in for image %q needs the program %s, which this machine does not have", e.Ref, e.Tool.Command)
}

// Cure says which package has the program.
func (e *MissingToolError) Cure() string {
	return "install the package " + e.Tool.Package + ", or load the real image with `netdojo image load FILE`"
}

// standInFor makes an Image of the stand-in for a name, or a *NotFoundError.
func (s *Store) standInFor(asked string, r reference) (*Image, error) {
	found := findStandIn(r)
	if found == nil || !s.canRun(found.Program) {
		return nil, &NotFoundError{Ref: asked}
	}
	if missing := found.Missing(s.o.HostRoot); len(missing) > 0 {
		return nil, &MissingToolError{Ref: asked, Tool: missing[0]}
	}
	sum := sha256.Sum256([]byte("netdojo stand-in " + found.Name + " for " + r.String()))
	id := "sha256:" + hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.used[id]; have != nil {
		return have.clone(), nil
	}
	img := &Image{
		Info:    Info{ID: id, Digest: id, Tags: []string{r.String()}, Size: 4096, StandIn: found.Name},
		Config:  found.Config,
		Ref:     r.String(),
		Digests: []string{r.repo + "@" + id},
		standIn: found,
	}
	if r.digest != "" {
		img.Tags, img.Digests = nil, []string{r.String()}
	}
	s.used[id] = img
	return img.clone(), nil
}

func (s *Store) canRun(p Program) bool {
	switch p {
	case HelperProgram:
		return s.o.Helper != ""
	case CoreDNSProgram:
		return s.o.CoreDNS != ""
	case CiliumProgram:
		return s.o.Cilium != "" && s.o.Helper != ""
	}
	return true
}
