package embedded

// elsewhere says where a netdojo for another system finds Linux: kind's nodes are
// containers of a Linux machine, and the embedded cluster runs in one.
func elsewhere(goos string) *Problem {
	p := &Problem{What: "the embedded cluster needs Linux: its pods are Linux namespaces"}
	const (
		kind = `use --provider kind, where Docker or Podman runs. Or bring up Linux, in this repository's folder:
  any system with Docker: devcontainer up --workspace-folder . && devcontainer exec --workspace-folder . make demo
`
		tools = "sudo sh -c 'apt-get update && apt-get install -y golang make curl uidmap' && make demo"
	)
	switch goos {
	case "windows":
		p.Fix = kind +
			"  WSL2: wsl --install -d Ubuntu\n" +
			"        wsl -d Ubuntu -- bash -c \"" + tools + `"`
	case "darwin":
		p.Fix = kind +
			"  Lima: limactl start --name=netdojo --mount-writable\n" +
			"        limactl shell netdojo bash -c \"" + tools + `"`
	default:
		p.Fix = kind + "  a virtual machine: make demo, with Go, make and curl"
	}
	return p
}
