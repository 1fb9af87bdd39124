package image

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// curlEntry starts curl when the arguments look like its own.
const curlEntry = `#!/bin/sh
case "$1" in
-* | *://*) set -- curl "$@" ;;
esac
exec "$@"
`

// mockScript is a program of a real image's name that starts the mock.
func mockScript(as string) string {
	return "#!/bin/sh\nexec /" + helperPath + " httpmock -as " + as + "\n"
}

// mockFlags is mockScript for a program whose flags the mock takes as well.
func mockFlags(as string) string {
	return "#!/bin/sh\nexec /" + helperPath + " httpmock -as " + as + " \"$@\"\n"
}

func mock(as string) Config {
	return Config{Entrypoint: []string{"/" + helperPath, "httpmock", "-as", as}, Env: []string{defaultPath}, WorkingDir: "/"}
}

// busyboxLinks are busybox's own network programs, in images that have no others.
var busyboxLinks = map[string]string{
	"usr/bin/wget": "/" + helperPath, "usr/bin/nc": "/" + helperPath, "usr/bin/nslookup": "/" + helperPath,
}

// nginxFiles are what nginx has beside its program.
func nginxFiles(as, port string) map[string]string {
	return map[string]string{
		"docker-entrypoint.sh":          "#!/bin/sh\nexec \"$@\"\n",
		"usr/sbin/nginx":                mockScript(as),
		"usr/share/nginx/html/.keep":    "",
		"etc/nginx/conf.d/default.conf": "# The stand-in serves /usr/share/nginx/html on port " + port + " and reads no configuration.\n",
		"usr/share/nginx/html/50x.html": "<html><body><h1>An error occurred.</h1></body></html>\n",
		"var/log/nginx/.keep":           "",
		"var/cache/nginx/.keep":         "",
		"docker-entrypoint.d/.keep":     "",
		"etc/nginx/templates/.keep":     "",
	}
}

func nginxConfig(user string) Config {
	return Config{
		Entrypoint: []string{"/docker-entrypoint.sh"},
		Cmd:        []string{"nginx", "-g", "daemon off;"},
		Env:        []string{defaultPath, "NGINX_VERSION=1.27.0"},
		User:       user,
		StopSignal: "SIGQUIT",
	}
}

var (
	curlTool  = Tool{"curl", "curl"}
	shellTool = Tool{"sh", "dash"}
)

// standIns is the table: the first entry whose pattern fits is taken.
var standIns = []StandIn{
	{
		Name:    "json-mock",
		Images:  []string{"docker.io/cilium/json-mock", "quay.io/cilium/json-mock"},
		Summary: "JSON over HTTP on port 8080: /public, /private, /",
		Config:  mock("json-mock"),
		Program: HelperProgram,
	},
	{
		Name:    "deathstar",
		Images:  []string{"docker.io/cilium/starwars", "quay.io/cilium/starwars"},
		Summary: "the Star Wars demo's HTTP service on port 80",
		Config:  mock("deathstar"),
		Program: HelperProgram,
	},
	{
		Name:    "nginx-unprivileged",
		Images:  []string{"docker.io/nginxinc/nginx-unprivileged", "quay.io/nginx/nginx-unprivileged", "ghcr.io/nginx/nginx-unprivileged"},
		Summary: "a web server on port 8080 with /usr/share/nginx/html, as user 101",
		Config:  nginxConfig("101"),
		Files:   nginxFiles("nginx-unprivileged", "8080"),
		Program: HelperProgram,
	},
	{
		Name: "nginx",
		Images: []string{"docker.io/library/nginx", "docker.io/nginxdemos/hello",
			"registry.k8s.io/e2e-test-images/nginx", "registry.k8s.io/nginx", "registry.k8s.io/nginx-slim"},
		Summary: "a web server on port 80 with /usr/share/nginx/html",
		Config:  nginxConfig(""),
		Files:   nginxFiles("nginx", "80"),
		Program: HelperProgram,
	},
	{
		Name:    "httpd",
		Images:  []string{"docker.io/library/httpd", "registry.k8s.io/e2e-test-images/httpd", "quay.io/cilium/demo-httpd", "docker.io/cilium/demo-httpd"},
		Summary: "a web server on port 80 with /usr/local/apache2/htdocs",
		Config: Config{
			Cmd:        []string{"httpd-foreground"},
			Env:        []string{"PATH=/usr/local/apache2/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			WorkingDir: "/usr/local/apache2",
			StopSignal: "SIGWINCH",
		},
		Files: map[string]string{
			"usr/bin/httpd-foreground":       mockScript("httpd"),
			"usr/local/apache2/htdocs/.keep": "",
			"usr/local/apache2/conf/.keep":   "",
			"usr/local/apache2/logs/.keep":   "",
		},
		Program: HelperProgram,
	},
	{
		Name:    "http-echo",
		Images:  []string{"docker.io/hashicorp/http-echo"},
		Summary: "answers every request with -text, on port 5678",
		Config:  mock("http-echo"),
		Program: HelperProgram,
	},
	{
		Name:    "whoami",
		Images:  []string{"docker.io/traefik/whoami", "docker.io/containous/whoami"},
		Summary: "answers every request with what it was asked, as text, on port 80",
		Config:  Config{Entrypoint: []string{"/whoami"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Files:   map[string]string{"whoami": mockFlags("whoami")},
		Needs:   []Tool{shellTool},
		Program: HelperProgram,
	},
	{
		Name:    "ealen-echo-server",
		Images:  []string{"docker.io/ealen/echo-server"},
		Summary: "answers every request with what it was asked, on port 80 or $PORT",
		Config:  mock("ealen-echo-server"),
		Program: HelperProgram,
	},
	{
		Name: "echo-basic",
		Images: []string{"registry.k8s.io/gateway-api/echo-basic", "gcr.io/k8s-staging-gateway-api/echo-basic",
			"gcr.io/k8s-staging-ingressconformance/echoserver"},
		Summary: "answers every request with what it was asked, on port 3000 or $HTTP_PORT",
		Config:  mock("echo-basic"),
		Program: HelperProgram,
	},
	{
		Name:    "echo-advanced",
		Images:  []string{"registry.k8s.io/gateway-api/echo-advanced", "gcr.io/k8s-staging-gateway-api/echo-advanced"},
		Summary: "answers every request with what it was asked, by HTTP, TLS and TCP on the ports of its flags, else on 8080",
		Config:  Config{Entrypoint: []string{"/usr/local/bin/server"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Files:   map[string]string{"usr/local/bin/server": "#!/bin/sh\nexec /" + helperPath + " echo-advanced \"$@\"\n"},
		Needs:   []Tool{shellTool, curlTool},
		Program: HelperProgram,
	},
	{
		Name: "echo-server",
		Images: []string{"docker.io/mendhak/http-https-echo", "registry.k8s.io/echoserver",
			"k8s.gcr.io/echoserver", "gcr.io/google_containers/echoserver", "docker.io/jmalloc/echo-server"},
		Summary: "answers every request with what it was asked, on port 8080 or $PORT",
		Config:  mock("echo"),
		Program: HelperProgram,
	},
	{
		Name:    "hello-app",
		Images:  []string{"gcr.io/google-samples/hello-app", "us-docker.pkg.dev/google-samples/containers/gke/hello-app"},
		Summary: "says hello and its host's name on port 8080 or $PORT",
		Config:  mock("hello-app"),
		Program: HelperProgram,
	},
	{
		Name:    "kubernetes-bootcamp",
		Images:  []string{"gcr.io/google-samples/kubernetes-bootcamp", "docker.io/jocatalin/kubernetes-bootcamp"},
		Summary: "says hello and its host's name on port 8080",
		Config:  mock("kubernetes-bootcamp"),
		Program: HelperProgram,
	},
	{
		Name:    "podinfo",
		Images:  []string{"ghcr.io/stefanprodan/podinfo", "docker.io/stefanprodan/podinfo"},
		Summary: "podinfo's usual routes on port 9898",
		Config:  Config{Cmd: []string{"./podinfo"}, Env: []string{defaultPath}, User: "100:101", WorkingDir: "/home/app"},
		Files:   map[string]string{"home/app/podinfo": mockFlags("podinfo")},
		Dirs:    []string{"home/app"},
		Needs:   []Tool{shellTool},
		Program: HelperProgram,
	},
	{
		Name:    "kuard",
		Images:  []string{"gcr.io/kuar-demo/kuard-amd64", "gcr.io/kuar-demo/kuard-arm64", "gcr.io/kuar-demo/kuard"},
		Summary: "kuard's front page and health on port 8080",
		Config:  Config{Cmd: []string{"/kuard"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Files:   map[string]string{"kuard": mockFlags("kuard")},
		Needs:   []Tool{shellTool},
		Program: HelperProgram,
	},
	{
		Name:    "redis",
		Images:  []string{"docker.io/library/redis", "registry.k8s.io/redis", "gcr.io/google_containers/redis", "registry.k8s.io/e2e-test-images/redis"},
		Summary: "strings in memory on port 6379, and redis-cli: PING, SET, GET, INCR and a dozen others",
		Config:  Config{Entrypoint: []string{"docker-entrypoint.sh"}, Cmd: []string{"redis-server"}, Env: []string{defaultPath}, WorkingDir: "/data"},
		Files: map[string]string{
			"usr/local/bin/docker-entrypoint.sh": "#!/bin/sh\ncase \"$1\" in\n-* | *.conf) set -- redis-server \"$@\" ;;\nesac\nexec \"$@\"\n",
			"usr/local/bin/redis-server":         "#!/bin/sh\nexec /" + helperPath + " redis \"$@\"\n",
			"usr/local/bin/redis-cli":            "#!/bin/sh\nexec /" + helperPath + " redis-cli \"$@\"\n",
		},
		Dirs:    []string{"data"},
		Needs:   []Tool{shellTool},
		Program: HelperProgram,
	},
	{
		Name:    "httpbin",
		Images:  []string{"docker.io/kennethreitz/httpbin", "docker.io/citizenstig/httpbin"},
		Summary: "httpbin's usual routes on port 80 or $PORT",
		Config:  mock("httpbin"),
		Program: HelperProgram,
	},
	{
		Name:    "go-httpbin",
		Images:  []string{"docker.io/mccutchen/go-httpbin", "ghcr.io/mccutchen/go-httpbin"},
		Summary: "httpbin's usual routes on port 8080",
		Config: Config{
			Entrypoint: []string{"/" + helperPath, "httpmock", "-as", "httpbin", "-listen", ":8080"},
			Env:        []string{defaultPath}, WorkingDir: "/",
		},
		Program: HelperProgram,
	},
	{
		Name:    "agnhost",
		Images:  []string{"registry.k8s.io/e2e-test-images/agnhost", "k8s.gcr.io/e2e-test-images/agnhost", "us.gcr.io/k8s-artifacts-prod/e2e-test-images/agnhost"},
		Summary: "agnhost's netexec on port 8080 (UDP 8081), serve-hostname on 9376, porter, connect and pause",
		Config:  Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Files: map[string]string{"agnhost": `#!/bin/sh
role=$1
[ $# -gt 0 ] && shift
case "$role" in
connect | porter | serve-hostname) exec /` + helperPath + ` "agnhost-$role" "$@" ;;
esac
port=8080
udp=8081
while [ $# -gt 0 ]; do
	case "$1" in
	--udp-port=*) udp=${1#*=} ;;
	--udp-port) udp=$2; shift ;;
	--http-port=* | --port=*) port=${1#*=} ;;
	--http-port | --port) port=$2; shift ;;
	esac
	shift
done
case "$role" in
pause) exec /` + helperPath + ` pause ;;
netexec)
	[ "$udp" = -1 ] && udp= || udp=:$udp
	exec /` + helperPath + ` httpmock -as echo -listen ":$port" -udp "$udp" ;;
*) echo "netdojo's stand-in for agnhost knows connect, netexec, pause, porter and serve-hostname, not '$role'" >&2; exit 1 ;;
esac
`},
		Needs:   []Tool{shellTool},
		Program: HelperProgram,
	},
	{
		Name:    "pause",
		Images:  []string{"registry.k8s.io/pause", "k8s.gcr.io/pause", "gcr.io/google_containers/pause", "docker.io/rancher/mirrored-pause"},
		Summary: "does nothing until it is ended",
		Config:  Config{Entrypoint: []string{"/pause"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Files:   map[string]string{"pause": "#!/bin/sh\nexec /" + helperPath + " pause\n"},
		Program: HelperProgram,
	},
	{
		Name:    "coredns",
		Images:  []string{"registry.k8s.io/coredns/coredns", "docker.io/coredns/coredns", "k8s.gcr.io/coredns/coredns"},
		Summary: "CoreDNS as netdojo ships it",
		Config:  Config{Entrypoint: []string{"/coredns"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Program: CoreDNSProgram,
	},
	{
		Name:    "cilium",
		Images:  []string{"netdojo.dev/cilium"},
		Summary: "cilium-dbg and hubble, on the sockets of netdojo's datapath",
		Config: Config{
			Entrypoint: []string{"/" + helperPath, "pause"}, WorkingDir: "/",
			Env: []string{defaultPath, "HUBBLE_SERVER=unix:///var/run/cilium/hubble.sock"},
		},
		Links: map[string]string{
			"usr/bin/cilium-dbg": "/" + ciliumPath, "usr/bin/cilium": "/" + ciliumPath, "usr/bin/hubble": "/" + ciliumPath,
		},
		Program: CiliumProgram,
	},
	{
		Name:    "curl",
		Images:  []string{"docker.io/curlimages/curl", "quay.io/curl/curl", "docker.io/curl/curl"},
		Summary: "this machine's curl and shell, as user 100",
		Config:  Config{Entrypoint: []string{"/entrypoint.sh"}, Cmd: []string{"curl"}, Env: []string{defaultPath}, User: "100:101", WorkingDir: "/home/curl_user"},
		Files:   map[string]string{"entrypoint.sh": curlEntry},
		Dirs:    []string{"home/curl_user"},
		Links:   busyboxLinks,
		Needs:   []Tool{shellTool, curlTool},
		Program: HelperProgram,
	},
	{
		Name:    "alpine-curl",
		Images:  []string{"docker.io/byrnedo/alpine-curl", "docker.io/pstauffer/curl", "docker.io/appropriate/curl"},
		Summary: "this machine's curl and shell",
		Config:  Config{Entrypoint: []string{"/entrypoint.sh"}, Cmd: []string{"curl"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Files:   map[string]string{"entrypoint.sh": curlEntry},
		Links:   busyboxLinks,
		Needs:   []Tool{shellTool, curlTool},
		Program: HelperProgram,
	},
	{
		Name:    "netperf",
		Images:  []string{"docker.io/tgraf/netperf", "docker.io/cilium/netperf"},
		Summary: "this machine's shell, curl and network tools; without a command it waits, as the real one's server does",
		Config:  Config{Cmd: []string{"/" + helperPath, "pause"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Needs:   []Tool{shellTool, curlTool},
		Program: HelperProgram,
	},
	{
		Name: "network-multitool",
		Images: []string{"docker.io/praqma/network-multitool", "docker.io/wbitt/network-multitool", "ghcr.io/praqma/network-multitool",
			"ghcr.io/eficode-academy/network-multitool"},
		Summary: "this machine's shell, curl and network tools, and a web server on port 80 or $HTTP_PORT",
		Config: Config{
			Entrypoint: []string{"/docker-entrypoint.sh"}, Cmd: []string{"nginx", "-g", "daemon off;"},
			Env: []string{defaultPath}, WorkingDir: "/",
		},
		Files:   nginxFiles("network-multitool", "80"),
		Needs:   []Tool{shellTool, curlTool},
		Program: HelperProgram,
	},
	{
		Name:    "cilium-alpine-curl",
		Images:  []string{"quay.io/cilium/alpine-curl", "docker.io/cilium/alpine-curl"},
		Summary: "this machine's curl, shell and network tools, and a pause that waits",
		Config:  Config{Entrypoint: []string{"/usr/bin/curl"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Files:   map[string]string{"usr/bin/pause": "#!/bin/sh\nexec /" + helperPath + " pause\n"},
		Links:   map[string]string{"usr/bin/wget": "/" + helperPath, "usr/bin/nc": "/" + helperPath},
		Needs:   []Tool{shellTool, curlTool},
		Program: HelperProgram,
	},
	{
		Name: "client",
		Images: []string{"docker.io/cilium/demo-client", "quay.io/cilium/demo-client", "docker.io/nicolaka/netshoot", "ghcr.io/nicolaka/netshoot",
			"docker.io/amouat/network-utils", "docker.io/jrecord/nettools", "docker.io/travelping/nettools", "docker.io/arunvelsriram/utils"},
		Summary: "this machine's shell, curl and network tools",
		Config:  Config{Cmd: []string{"/bin/sh"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Needs:   []Tool{shellTool, curlTool},
	},
	{
		Name: "busybox",
		Images: []string{"docker.io/library/busybox", "docker.io/library/alpine", "registry.k8s.io/e2e-test-images/busybox", "registry.k8s.io/busybox",
			"quay.io/quay/busybox", "gcr.io/google-containers/busybox", "gcr.io/google_containers/busybox", "docker.io/radial/busyboxplus"},
		Summary: "this machine's shell and programs, with busybox's own wget, nc and nslookup",
		Config:  Config{Cmd: []string{"/bin/sh"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Links:   busyboxLinks,
		Needs:   []Tool{shellTool},
		Program: HelperProgram,
	},
	{
		Name: "shell",
		Images: []string{"docker.io/library/debian", "docker.io/library/ubuntu", "docker.io/library/bash",
			"docker.io/library/fedora", "docker.io/library/centos", "docker.io/library/rockylinux"},
		Summary: "this machine's shell and programs",
		Config:  Config{Cmd: []string{"/bin/sh"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Needs:   []Tool{shellTool},
	},
}
