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

func mock(as string) Config {
	return Config{Entrypoint: []string{"/" + helperPath, "httpmock", "-as", as}, Env: []string{defaultPath}, WorkingDir: "/"}
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
		Name: "nginx",
		Images: []string{"docker.io/library/nginx", "docker.io/nginxinc/nginx-unprivileged", "docker.io/nginxdemos/hello",
			"quay.io/nginx/nginx-unprivileged", "registry.k8s.io/e2e-test-images/nginx", "registry.k8s.io/nginx", "registry.k8s.io/nginx-slim"},
		Summary: "a web server on port 80 with /usr/share/nginx/html",
		Config: Config{
			Entrypoint: []string{"/docker-entrypoint.sh"},
			Cmd:        []string{"nginx", "-g", "daemon off;"},
			Env:        []string{defaultPath, "NGINX_VERSION=1.27.0"},
			StopSignal: "SIGQUIT",
		},
		Files: map[string]string{
			"docker-entrypoint.sh":          "#!/bin/sh\nexec \"$@\"\n",
			"usr/sbin/nginx":                mockScript("nginx"),
			"usr/share/nginx/html/.keep":    "",
			"etc/nginx/conf.d/default.conf": "# The stand-in serves /usr/share/nginx/html on port 80 and reads no configuration.\n",
			"usr/share/nginx/html/50x.html": "<html><body><h1>An error occurred.</h1></body></html>\n",
			"var/log/nginx/.keep":           "",
			"var/cache/nginx/.keep":         "",
			"docker-entrypoint.d/.keep":     "",
			"etc/nginx/templates/.keep":     "",
		},
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
		Name: "echo-server",
		Images: []string{"docker.io/ealen/echo-server", "docker.io/mendhak/http-https-echo", "registry.k8s.io/echoserver",
			"k8s.gcr.io/echoserver", "gcr.io/google_containers/echoserver", "registry.k8s.io/gateway-api/echo-basic",
			"gcr.io/k8s-staging-gateway-api/echo-basic", "docker.io/jmalloc/echo-server", "docker.io/traefik/whoami", "docker.io/containous/whoami"},
		Summary: "answers every request with what it was asked, on port 8080 or $PORT",
		Config:  mock("echo"),
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
		Summary: "agnhost's netexec over HTTP on port 8080, and pause",
		Config:  Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Files: map[string]string{"agnhost": `#!/bin/sh
role=$1
[ $# -gt 0 ] && shift
port=8080
while [ $# -gt 0 ]; do
	case "$1" in
	--http-port=* | --port=*) port=${1#*=} ;;
	--http-port | --port) port=$2; shift ;;
	esac
	shift
done
case "$role" in
pause) exec /` + helperPath + ` pause ;;
netexec) exec /` + helperPath + ` httpmock -as echo -listen ":$port" ;;
*) echo "netdojo's stand-in for agnhost knows pause and netexec, not '$role'" >&2; exit 1 ;;
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
		Images:  []string{"*/netdojo/cilium"},
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
		Name: "curl",
		Images: []string{"docker.io/curlimages/curl", "quay.io/curl/curl", "docker.io/curl/curl", "docker.io/byrnedo/alpine-curl",
			"docker.io/pstauffer/curl", "docker.io/appropriate/curl", "docker.io/radial/busyboxplus"},
		Summary: "this machine's curl and shell",
		Config:  Config{Entrypoint: []string{"/entrypoint.sh"}, Cmd: []string{"curl"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Files:   map[string]string{"entrypoint.sh": curlEntry},
		Needs:   []Tool{shellTool, curlTool},
	},
	{
		Name: "client",
		Images: []string{"quay.io/cilium/alpine-curl", "docker.io/cilium/alpine-curl", "docker.io/tgraf/netperf", "docker.io/cilium/netperf",
			"docker.io/cilium/demo-client", "quay.io/cilium/demo-client", "docker.io/nicolaka/netshoot", "ghcr.io/nicolaka/netshoot",
			"docker.io/praqma/network-multitool", "docker.io/wbitt/network-multitool", "ghcr.io/praqma/network-multitool",
			"docker.io/amouat/network-utils", "docker.io/jrecord/nettools", "docker.io/travelping/nettools", "docker.io/arunvelsriram/utils"},
		Summary: "this machine's shell, curl and network tools",
		Config:  Config{Cmd: []string{"/bin/sh"}, Env: []string{defaultPath}, WorkingDir: "/root"},
		Needs:   []Tool{shellTool, curlTool},
	},
	{
		Name: "shell",
		Images: []string{"docker.io/library/busybox", "docker.io/library/alpine", "docker.io/library/debian", "docker.io/library/ubuntu",
			"docker.io/library/bash", "registry.k8s.io/e2e-test-images/busybox", "quay.io/quay/busybox", "gcr.io/google-containers/busybox",
			"docker.io/library/fedora", "docker.io/library/centos", "docker.io/library/rockylinux"},
		Summary: "this machine's shell and programs",
		Config:  Config{Cmd: []string{"/bin/sh"}, Env: []string{defaultPath}, WorkingDir: "/"},
		Needs:   []Tool{shellTool},
	},
}
