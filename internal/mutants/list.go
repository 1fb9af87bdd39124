package main

// mutants are a protection for each of the nine gravest findings of docs/security.md;
// some findings have two walls, and each of them is taken out.
var mutants = []mutant{
	{
		finding: "1. a kubeconfig whose exec the host runs",
		without: "the refusal of exec in netdojo's own kubeconfigs",
		file:    "cluster/kubeconfig/private.go", from: `"exec": u.Exec != nil, `, to: ``,
		pkg: "./cluster/kubeconfig", test: "^TestPrivateRefusesWhatNetdojoNeverWrites$", says: "--- FAIL: TestPrivateRefusesWhatNetdojoNeverWrites/exec",
	},
	{
		finding: "1. a kubeconfig whose exec the host runs",
		without: "a check of the credentials that the node sends",
		file:    "cluster/embedded/handle.go", from: "tls.X509KeyPair(said.Certificate, said.Key); err != nil {", to: "tls.X509KeyPair(said.Certificate, said.Key); err != nil && false {",
		pkg: "./cluster/embedded", test: "^TestCredentials$", says: "another's key: taken",
	},
	{
		finding: "2. a log that is a link",
		without: "the look at what is in a file's place",
		file:    "internal/hostfile/write.go", from: "	case err == nil && !info.Mode().IsRegular():\n		return nil,", to: "	case err == nil && !info.Mode().IsRegular() && false:\n		return nil,",
		pkg: "./internal/hostfile", test: "^TestOursAreRegularFilesOnly$", says: "--- FAIL: TestOursAreRegularFilesOnly/",
	},
	{
		finding: "3. another process's number in the lock",
		without: "the comparison of start times",
		file:    "cluster/embedded/userns/lock.go", from: "err != nil || start != h.Start {", to: "err != nil || start != h.Start && false {",
		pkg: "./cluster/embedded/userns", test: "^TestOthersAreNotSignalled$", says: "--- FAIL: TestOthersAreNotSignalled",
	},
	{
		finding: "4. a disk that is a link to the owner's home",
		without: "the refusal to take such a folder over",
		file:    "cluster/embedded/folder_linux.go", from: "if info.IsDir() != folder || !folder && !info.Mode().IsRegular() {", to: "if (info.IsDir() != folder || !folder && !info.Mode().IsRegular()) && false {",
		pkg: "./cluster/embedded", test: "^TestAdopt$", says: "--- FAIL: TestAdopt/",
	},
	{
		finding: "5. images that another cluster runs",
		without: "the image store's read-only mount",
		file:    "cluster/embedded/userns/root.go",
		from:    "if err := bindInto(b.from, filepath.Join(in.Root, b.to), unix.MOUNT_ATTR_RDONLY); err != nil {",
		to:      "attr := uint64(unix.MOUNT_ATTR_RDONLY); if b.to == NodeImagesDir { attr = 0 }; if err := bindInto(b.from, filepath.Join(in.Root, b.to), attr); err != nil {",
		pkg:     "./cmd/netdojo/e2e", test: "^TestWall$/^the_caller$", says: "/opt/netdojo/images is writable", built: true,
	},
	{
		finding: "6. a request in a body",
		without: "the proxy's own Content-Length",
		file:    "datapath/http/upstream.go", from: "	case o.framed || o.length > 0:", to: "	case false:",
		pkg: "./datapath/http", test: "^TestFramingIsTheProxys$", says: "--- FAIL: TestFramingIsTheProxys/",
	},
	{
		finding: "7. KUBECONFIG=/dev/null",
		without: "the look whether a kubeconfig is a stream",
		file:    "cluster/kubeconfig/files.go", from: "	for range hostfile.MaxLinks {", to: "	for range 0 {",
		pkg: "./cluster/kubeconfig", test: "^TestStreamsAreNeverWritten$", says: "--- FAIL: TestStreamsAreNeverWritten/",
	},
	{
		finding: "8. the caller's environment",
		without: "the short environment of what runs inside",
		file:    "cluster/embedded/userns/launch.go", from: "	return env\n}\n\nfunc ignoreExit", to: "	return append(env, os.Environ()...)\n}\n\nfunc ignoreExit",
		pkg: "./cmd/netdojo/e2e", test: "^TestWall$/^the_caller$", says: "memory: the environment of process ", built: true,
	},
	{
		finding: "8. a way to the host's network",
		without: "the relay between a connection of the host's and the node's end",
		file:    "cluster/world/outside/listener.go",
		from:    "	defer away.Close()\n	if err := send(packets",
		to:      "	away, err = conn.(*net.TCPConn).File()\n	if err != nil {\n		return err\n	}\n	defer away.Close()\n	if err := send(packets",
		pkg:     "./cluster/world/outside", test: "^TestUnixAlone$", says: "domain 2",
	},
	{
		finding: "8. a way to the host's network",
		without: "the rule of which addresses may be listened on",
		file:    "cluster/world/outside/serve.go", from: "if !ip.IsLoopback() || !slices.ContainsFunc(s.rules.Listen, func(p netip.Prefix) bool { return p.Contains(ip) }) {", to: "if !ip.IsLoopback() {",
		pkg: "./cmd/netdojo/e2e", test: "^TestWall$/^the_caller$", says: "somebody listened on the host's ", built: true,
	},
	{
		finding: "8. a way to the host's network",
		without: "the rules of what may be dialled",
		file:    "cluster/world/outside/serve.go", from: "	if !s.rules.Dial {\n		return netip.AddrPort{}, fmt.Errorf(\"dial %s: %w\", r.Addr, syscall.ENETUNREACH)\n	}", to: "	if ap, err := netip.ParseAddrPort(r.Addr); err == nil {\n		return ap, nil\n	}",
		pkg: "./cmd/netdojo/e2e", test: "^TestWall$/^the_caller$", says: "was reached", built: true,
	},
	{
		finding: "9. a setuid shell for other users",
		without: "the folder's mode",
		file:    "internal/hostfile/write.go", from: "	case info.Mode().Perm() == 0o700:\n		return nil\n	}\n	if err := os.Chmod(path, 0o700); err != nil {\n		return fmt.Errorf(\"keep",
		to:  "	case true:\n		return nil\n	}\n	if err := os.Chmod(path, 0o700); err != nil {\n		return fmt.Errorf(\"keep",
		pkg: "./internal/hostfile", test: "^TestPrivateDir$", says: "--- FAIL: TestPrivateDir",
	},
	{
		finding: "9. a setuid shell for other users",
		without: "the disk's nosuid mount",
		file:    "cluster/embedded/userns/root.go", from: "unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV); err", to: "unix.MOUNT_ATTR_NODEV); err",
		pkg: "./cmd/netdojo/e2e", test: "^TestWall$/^the_caller$", says: "mounts: ", built: true,
	},
}
