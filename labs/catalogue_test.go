package labs_test

import (
	"io/fs"
	"testing"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/catalogue"
)

func TestCatalogueIsClean(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("the catalogue is empty")
	}
	for _, lab := range all {
		sub, err := fs.Sub(catalogue.FS, lab.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range labs.Lint(sub) {
			t.Errorf("lab %s: %s (%s)", lab.ID, p, p.Cure)
		}
	}
}
