package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// PodState says whether a probe can start.
type PodState string

// States of the probing pod.
const (
	PodReady    PodState = "ready"
	PodNotReady PodState = "not-ready"
	PodMissing  PodState = "missing"
)

// Subject is the experiment apart from the policy: who probes and what they
// dial. A control and a deny prove something only when their subjects agree.
type Subject struct {
	State     PodState          `json:"-"`
	Reason    string            `json:"-"` // why the pod is not ready
	Namespace string            `json:"namespace"`
	Pod       string            `json:"pod"`
	UID       string            `json:"uid"`
	IP        string            `json:"ip,omitempty"`
	IPs       []string          `json:"-"` // IP and, with two families, the other's
	Container string            `json:"container"`
	Labels    map[string]string `json:"labels,omitempty"`
	Image     string            `json:"image"`   // as the pod's spec names it
	ImageID   string            `json:"imageID"` // as the runtime resolved it
	Service   *Service          `json:"service,omitempty"`
}

// Service is a destination inside the cluster.
type Service struct {
	Namespace   string   `json:"namespace"`
	Name        string   `json:"name"`
	UID         string   `json:"uid"`
	ClusterIP   string   `json:"clusterIP"`
	ClusterIPs  []string `json:"-"` // ClusterIP and, with two families, the other's
	Port        uint16   `json:"port"`
	TargetPorts []uint16 `json:"targetPorts,omitempty"` // sorted
	Endpoints   []string `json:"endpoints,omitempty"`   // addresses, sorted
}

// addresses are the pod's, whether its record has all of them or the first alone.
func (s Subject) addresses() []string {
	if len(s.IPs) == 0 && s.IP != "" {
		return []string{s.IP}
	}
	return s.IPs
}

// addresses are those that the Service's name has, but for a headless one's.
func (s *Service) addresses() []string {
	if len(s.ClusterIPs) == 0 {
		return []string{s.ClusterIP}
	}
	return s.ClusterIPs
}

// has says whether an address is the Service's own. A nil one has none.
func (s *Service) has(ip string) bool { return s != nil && slices.Contains(s.addresses(), ip) }

// headless says whether the Service's name has the addresses of its pods.
func (s *Service) headless() bool { return s.ClusterIP == "None" }

// Differences names, one each, what is not the same in two subjects. Endpoints
// of a Service may come and go; the Service itself may not change.
func Differences(control, now Subject) []string {
	var diff []string
	add := func(what, was, is string) {
		if was != is {
			diff = append(diff, fmt.Sprintf("%s was %s, is %s", what, orNone(was), orNone(is)))
		}
	}
	add("pod", control.Namespace+"/"+control.Pod, now.Namespace+"/"+now.Pod)
	add("pod UID", control.UID, now.UID)
	add("image", control.Image, now.Image)
	add("image ID", control.ImageID, now.ImageID)
	if !maps.Equal(control.Labels, now.Labels) {
		add("labels", labelText(control.Labels), labelText(now.Labels))
	}
	was, is := control.Service, now.Service
	switch {
	case was == nil && is == nil:
	case was == nil || is == nil:
		add("Service", serviceName(was), serviceName(is))
	default:
		add("Service", serviceName(was), serviceName(is))
		add("Service UID", was.UID, is.UID)
		add("Service address", was.ClusterIP, is.ClusterIP)
		if !slices.Equal(was.TargetPorts, is.TargetPorts) {
			add("Service target ports", fmt.Sprint(was.TargetPorts), fmt.Sprint(is.TargetPorts))
		}
	}
	return diff
}

func serviceName(s *Service) string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%s/%s:%d", s.Namespace, s.Name, s.Port)
}

func labelText(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, k+"="+labels[k])
	}
	return strings.Join(pairs, ",")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
