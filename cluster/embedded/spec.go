package embedded

import "github.com/netdojo/netdojo/cluster"

// Spec is what the cluster of that name was asked to be. It wraps
// fs.ErrNotExist when there is none.
func (p *Provider) Spec(name string) (cluster.Spec, error) {
	dir, err := p.dir(name)
	if err != nil {
		return cluster.Spec{}, err
	}
	return readSpec(dir)
}
