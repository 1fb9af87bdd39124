package explain

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

// takeEnds takes off the ends what other commands print with them and the engine is
// asked in fields of their own: the port of a connection's end, and all of a URL. What
// flags say goes before.
func (o *Options) takeEnds() error {
	// The port that a connection came from says nothing about policies.
	o.Request.From, _ = cutPort(o.Request.From)
	if strings.Contains(o.Request.To, "://") {
		return o.takeURL()
	}
	var port string
	if o.Request.To, port = cutPort(o.Request.To); o.Request.Port == "" {
		o.Request.Port = port
	}
	return nil
}

func (o *Options) takeURL() error {
	u, err := url.Parse(o.Request.To)
	if err != nil {
		return exit.Usagef("read TO: %w", err)
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if port == "" || u.Hostname() == "" {
		return exit.WithCure(exit.Usagef("TO is the URL %s, which is of neither http nor https or names no host", o.Request.To),
			"write http://HOST[:PORT]/PATH, or the end alone")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if o.Request.Port == "" {
		o.Request.Port = port
	}
	o.Request.To = u.Hostname()
	// A bare name is a Service of the namespace that the client is in.
	if !strings.ContainsAny(o.Request.To, ".:") {
		namespace := ""
		if first, labels, ok := strings.Cut(o.Request.From, "/"); ok && strings.Contains(labels, "=") && len(validation.IsDNS1123Label(first)) == 0 {
			namespace = first + "/"
		}
		o.Request.To = "svc/" + namespace + o.Request.To
	}
	// What is asked in a connection that is encrypted, no policy sees.
	if u.Scheme == "http" && o.Request.DNS == "" && o.Request.SNI == "" {
		if o.Path == "" {
			if o.Path = u.RequestURI(); o.Path == "" {
				o.Path = "/"
			}
		}
		if o.Host == "" {
			o.Host = u.Host
		}
	}
	return nil
}

// cutPort cuts NAME:PORT. An address of IPv6 has to be in brackets, as it is printed.
func cutPort(end string) (name, port string) {
	host, port, err := net.SplitHostPort(end)
	if err != nil || host == "" {
		return end, ""
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return end, ""
	}
	return host, port
}
