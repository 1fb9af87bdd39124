package world

import (
	"io"
	"net/http"
	"net/netip"
)

// metadata is where the machines of a cloud ask who they are and for their keys. So
// do pods on them, unless a policy keeps them from it.
var metadata = netip.AddrFrom4([4]byte{169, 254, 169, 254})

// metadataPages is what the metadata service tells, by path: a little of what the
// first version of Amazon's tells. The keys open nothing.
var metadataPages = map[string]string{
	"/":                             "latest\n",
	"/latest/":                      "meta-data\n",
	"/latest/meta-data/":            "hostname\niam/\ninstance-id\n",
	"/latest/meta-data/hostname":    "node.netdojo.example\n",
	"/latest/meta-data/iam/":        "security-credentials/\n",
	"/latest/meta-data/instance-id": "i-0123456789abcdef0\n",
	"/latest/meta-data/iam/security-credentials/": "node-role\n",
	"/latest/meta-data/iam/security-credentials/node-role": `{
  "Code": "Success",
  "Type": "AWS-HMAC",
  "AccessKeyId": "EXAMPLE",
  "SecretAccessKey": "this-key-opens-nothing"
}
`,
}

func serveMetadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	page, ok := metadataPages[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	// A client that went away is all that can fail here.
	_, _ = io.WriteString(w, page)
}
