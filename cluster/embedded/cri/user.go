//go:build linux

package cri

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/netdojo/netdojo/cluster/image"
)

// user is whom a container runs as.
type user struct {
	uid, gid int64
	groups   []int64 // supplementary, gid among them
	home     string
}

func (u user) cri() *runtimeapi.LinuxContainerUser {
	return &runtimeapi.LinuxContainerUser{Uid: u.uid, Gid: u.gid, SupplementalGroups: u.groups}
}

func (u user) ints() []int {
	out := make([]int, len(u.groups))
	for i, g := range u.groups {
		out[i] = int(g)
	}
	return out
}

// passwdEntry is a line of passwd(5).
type passwdEntry struct {
	name, home string
	uid, gid   int64
}

// groupEntry is a line of group(5).
type groupEntry struct {
	name    string
	gid     int64
	members []string
}

// resolveUser finds the user by the pod's security context, else the image's
// USER, in the image's own files.
func (s *service) resolveUser(c *container, root *image.Root) (user, error) {
	sec := c.config.GetLinux().GetSecurityContext()
	passwd, groups, err := readAccounts(root.Dir)
	if err != nil {
		return user{}, err
	}
	spec, group, _ := strings.Cut(c.image.Config.User, ":")
	if c.image.StandIn() != nil && len(s.ids.uids) == 1 && s.ids.uids[0].size == 1 {
		// An account without subordinate ids has one user to run all pods as. A
		// pod that asks for another is refused; a stand-in's own is no demand.
		spec, group = "", ""
	}
	switch {
	case sec.GetRunAsUser() != nil:
		spec, group = strconv.FormatInt(sec.RunAsUser.Value, 10), ""
	case sec.GetRunAsUsername() != "":
		spec, group = sec.RunAsUsername, ""
	}
	if sec.GetRunAsGroup() != nil {
		if spec == "" {
			return user{}, errors.New("a group to run as needs a user")
		}
		group = strconv.FormatInt(sec.RunAsGroup.Value, 10)
	}
	u, err := lookUp(spec, group, passwd, groups)
	if err != nil {
		return user{}, fmt.Errorf("image %s: %w", c.image.Ref, err)
	}
	own := u.groups
	u.groups = []int64{u.gid}
	if sec.GetSupplementalGroupsPolicy() == runtimeapi.SupplementalGroupsPolicy_Merge {
		u.groups = append(u.groups, own...)
	}
	u.groups = append(u.groups, sec.GetSupplementalGroups()...)
	slices.Sort(u.groups)
	u.groups = slices.Compact(u.groups)
	return u, s.ids.check(u.uid, u.gid, u.groups)
}

// lookUp resolves a user and a group by name or number; user.groups become the
// groups that list the user.
func lookUp(spec, group string, passwd []passwdEntry, groups []groupEntry) (user, error) {
	u := user{home: "/"}
	name := ""
	if spec == "" {
		spec = "0"
	}
	number, numberErr := strconv.ParseInt(spec, 10, 64)
	i := slices.IndexFunc(passwd, func(e passwdEntry) bool { return e.name == spec || numberErr == nil && e.uid == number })
	switch {
	case i >= 0:
		u.uid, u.gid, u.home, name = passwd[i].uid, passwd[i].gid, passwd[i].home, passwd[i].name
	case numberErr == nil:
		u.uid = number
		if number == 0 {
			u.home = "/root"
		}
	default:
		return u, fmt.Errorf("no user %q in its /etc/passwd", spec)
	}
	if group != "" {
		gid, err := strconv.ParseInt(group, 10, 64)
		if err != nil {
			i := slices.IndexFunc(groups, func(g groupEntry) bool { return g.name == group })
			if i < 0 {
				return u, fmt.Errorf("no group %q in its /etc/group", group)
			}
			gid = groups[i].gid
		}
		u.gid = gid
	}
	for _, g := range groups {
		if name != "" && slices.Contains(g.members, name) {
			u.groups = append(u.groups, g.gid)
		}
	}
	return u, nil
}

// readAccounts reads an image's passwd and group; an image may have neither.
func readAccounts(root string) ([]passwdEntry, []groupEntry, error) {
	var passwd []passwdEntry
	var groups []groupEntry
	err := errors.Join(
		eachLine(root, "etc/passwd", func(f []string) {
			if len(f) < 6 {
				return
			}
			uid, err1 := strconv.ParseInt(f[2], 10, 64)
			gid, err2 := strconv.ParseInt(f[3], 10, 64)
			if err1 == nil && err2 == nil {
				passwd = append(passwd, passwdEntry{name: f[0], uid: uid, gid: gid, home: f[5]})
			}
		}),
		eachLine(root, "etc/group", func(f []string) {
			if len(f) < 4 {
				return
			}
			if gid, err := strconv.ParseInt(f[2], 10, 64); err == nil {
				groups = append(groups, groupEntry{name: f[0], gid: gid, members: strings.Split(f[3], ",")})
			}
		}))
	return passwd, groups, err
}

// eachLine splits the lines of a file below root at colons. A link that leaves
// root is as good as no file.
func eachLine(root, name string, line func([]string)) error {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return fmt.Errorf("open the image: %w", err)
	}
	defer dir.Close()
	f, err := dir.Open(name)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			return nil
		}
		return fmt.Errorf("read the image's /%s: %w", name, err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line(strings.Split(lines.Text(), ":"))
	}
	return nil
}
