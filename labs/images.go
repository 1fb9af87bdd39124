package labs

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/netdojo/netdojo/manifests/object"
)

// Images are the names of the images that the workloads of labs run, sorted.
func Images(all []*Lab) ([]string, error) {
	var images []string
	for _, l := range all {
		for _, name := range l.Workloads {
			data, err := fs.ReadFile(l.FS, name)
			if err != nil {
				return nil, fmt.Errorf("read %s of lab %s: %w", name, l.ID, err)
			}
			objects, err := object.Parse(name, data)
			if err != nil {
				return nil, fmt.Errorf("read %s of lab %s: %w", name, l.ID, err)
			}
			images = append(images, object.Images(objects)...)
		}
	}
	slices.Sort(images)
	return slices.Compact(images), nil
}
