package embedded

// elsewhere says where a netdojo for another system finds Linux: kind's nodes are
// containers of a Linux machine, and the embedded cluster runs in one.
func elsewhere(goos string) *Problem {
	p := &Problem{What: "the embedded cluster needs Linux: its pods are Linux namespaces"}
	const (
		kind = `use --provider kind, where Docker or Podman runs. Or bring up Linux, with a release's archive or in this repository's folder:
  any system with Docker: devcontainer up --workspace-folder . && devcontainer exec --workspace-folder . make demo
`
		tools = "sudo sh -c 'apt-get update && apt-get install -y golang make curl uidmap' && make demo"
	)
	switch goos {
	case "windows":
		p.Fix = kind +
			"  WSL2: wsl --install -d Ubuntu\n" +
			"        wsl -d Ubuntu -u root -- sh -c \"tar -xf netdojo-VERSION-linux-amd64.tar -C /tmp && /tmp/netdojo-*/install.sh\"\n" +
			"        wsl -d Ubuntu -- netdojo\n" +
			"        or from source: wsl -d Ubuntu -- bash -c \"" + tools + `"`
	case "darwin":
		p.Fix = kind +
			"  Lima: limactl start --name=netdojo docs/lima.yaml, which takes the archive from ~/netdojo\n" +
			"        limactl shell netdojo netdojo\n" +
			"        or from source: limactl start --name=netdojo --mount-writable\n" +
			"        limactl shell netdojo bash -c \"" + tools + `"`
	default:
		p.Fix = kind + "  a virtual machine: a release's install.sh, or make demo with Go, make and curl"
	}
	return p
}
