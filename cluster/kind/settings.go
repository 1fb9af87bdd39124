package kind

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/netdojo/netdojo/cluster"
)

// Settings are the provider's own, those of its datapath Cilium included.
var Settings = cluster.Settings{
	Provider: Name,
	Flags: func(f *pflag.FlagSet, spec *cluster.Spec) {
		f.StringVar(&spec.NodeImage, "node-image", "", "the image of the nodes (provider kind; default: the one that make kind-image built, else kind's own)")
		f.StringVar(&spec.KindConfig, "kind-config", "", "a file of kind's configuration, to which netdojo adds what it needs (provider kind)")
		f.StringVar(&spec.CiliumChart, "cilium-chart", "", "the chart that Cilium is installed from: a folder, a .tgz or a reference (datapath cilium; default: the one that netdojo carries)")
		f.StringVar(&spec.CiliumVersion, "cilium-version", "", "the chart's version, where --cilium-chart is a reference (datapath cilium)")
		f.StringArrayVar(&spec.CiliumValues, "cilium-values", nil, "a file of the chart's values, which go over netdojo's (datapath cilium)")
	},
	Given: func(spec cluster.Spec) (given []string) {
		if spec.NodeImage != "" {
			given = append(given, "node-image")
		}
		if spec.KindConfig != "" {
			given = append(given, "kind-config")
		}
		if spec.Datapath == cluster.DatapathCilium {
			given = append(given, "datapath cilium")
		}
		return append(given, givenOfCilium(spec)...)
	},
	Check: func(spec cluster.Spec) error {
		if given := givenOfCilium(spec); len(given) > 0 && spec.Datapath != cluster.DatapathCilium {
			return &cluster.Problem{What: "--" + given[0] + " is for the datapath cilium only", Fix: "add --datapath cilium"}
		}
		return nil
	},
	Difference: difference,
}

func givenOfCilium(spec cluster.Spec) (given []string) {
	if spec.CiliumChart != "" {
		given = append(given, "cilium-chart")
	}
	if spec.CiliumVersion != "" {
		given = append(given, "cilium-version")
	}
	if len(spec.CiliumValues) > 0 {
		given = append(given, "cilium-values")
	}
	return given
}

// difference compares what is asked for only: who names no image takes the one that
// is there.
func difference(was, want cluster.Spec) string {
	switch {
	case want.NodeImage != "" && was.NodeImage != want.NodeImage:
		return "node image: it has " + cmp.Or(was.NodeImage, "the default one")
	case want.CiliumVersion != "" && was.CiliumVersion != want.CiliumVersion || want.CiliumChart != "" && was.CiliumChart != want.CiliumChart:
		return "chart of Cilium's: it has " + cmp.Or(was.CiliumChart, "the one that netdojo carries")
	case len(want.CiliumValues) > 0 && !slices.Equal(was.CiliumValues, want.CiliumValues):
		return "set of Cilium's values: it has " + cmp.Or(strings.Join(was.CiliumValues, ", "), "netdojo's alone")
	case want.KindConfig != "" && was.KindConfig != want.KindConfig:
		return "configuration of kind's: it has " + cmp.Or(was.KindConfig, "none")
	}
	return ""
}
