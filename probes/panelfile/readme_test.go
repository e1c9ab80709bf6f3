package panelfile_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/bizra/bizra-top/probes/panelfile"
)

// What the README shows is taken.
func TestReadmeExample(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```yaml\n(views:.*?)```").FindSubmatch(readme)
	if m == nil {
		t.Fatal("the README shows no panel file")
	}
	views, err := panelfile.Parse("README.md", m[1])
	if err != nil || len(views) != 1 || len(views[0].Panels) != 3 {
		t.Errorf("%+v, %v", views, err)
	}
}
