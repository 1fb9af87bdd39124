package image

import "os"

// skeletonDirs are made in every stand-in's root, with their mode. Those below
// usr cover the host's: they belong to root here, so that a container can write
// into its own copy even where the host's root is not mapped.
var skeletonDirs = map[string]os.FileMode{
	"dev": 0o755, "etc": 0o755, "home": 0o755, "mnt": 0o755, "opt": 0o755, "proc": 0o555, "root": 0o700,
	"run": 0o755, "srv": 0o755, "sys": 0o555, "tmp": 0o777 | os.ModeSticky,
	"var/cache": 0o755, "var/lib": 0o755, "var/log": 0o755, "var/tmp": 0o777 | os.ModeSticky,
	"usr/bin": 0o755, "usr/sbin": 0o755, "usr/lib": 0o755, "usr/share": 0o755,
	"usr/local/bin": 0o755, "usr/local/sbin": 0o755, "usr/local/lib": 0o755, "usr/local/share": 0o755, "usr/src": 0o755,
}

var skeletonFiles = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/sbin/nologin\ndaemon:x:2:2:daemon:/sbin:/sbin/nologin\n" +
		"www-data:x:33:33:www-data:/var/www:/sbin/nologin\ncurl_user:x:100:101:curl:/home/curl_user:/sbin/nologin\n" +
		"nginx:x:101:101:nginx:/nonexistent:/bin/false\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n",
	"etc/group": "root:x:0:\nbin:x:1:\ndaemon:x:2:\ntty:x:5:\nwww-data:x:33:\ncurl_group:x:101:\nnginx:x:101:\nnogroup:x:65534:\n",
	"etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
	"etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n" +
		"protocols: files\nservices: files\nethers: files\n",
	"etc/os-release":  "NAME=\"netdojo stand-in\"\nID=netdojo-stand-in\nPRETTY_NAME=\"netdojo stand-in image\"\n",
	"etc/hostname":    "localhost\n",
	"etc/resolv.conf": "",
	"etc/shells":      "/bin/sh\n",
	"etc/profile":     "export PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}\n",
	"etc/services":    "domain\t53/tcp\ndomain\t53/udp\nhttp\t80/tcp\nhttps\t443/tcp\nssh\t22/tcp\nntp\t123/udp\n",
	"etc/protocols":   "ip\t0\tIP\nicmp\t1\tICMP\ntcp\t6\tTCP\nudp\t17\tUDP\nipv6-icmp\t58\tIPv6-ICMP\nsctp\t132\tSCTP\n",
}
