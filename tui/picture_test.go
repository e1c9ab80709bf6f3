package tui

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// The pictures of every view, and of a drill-down, are what S saves of the golden
// screens; go test ./tui -update writes them anew.
func TestPictures(t *testing.T) {
	update := flag.Lookup("update").Value.String() == "true"
	keys := map[string][]string{"breaker": {"4", "j", "enter"}, "zoom": {"5", "j", "z"}}
	for v := viewOverview; v < viewEnd; v++ {
		keys[viewNames[v]] = []string{keyOf(v)}
	}
	for _, v := range []viewID{viewBreakers, viewUpstreams, viewAlerts} {
		keys[viewNames[v]] = append(keys[viewNames[v]], "j")
	}
	for name, press := range keys {
		s := newScreen(t, 120, 40).keys(press...)
		picture, path := svg(s.draw(), s.pens.theme), filepath.Join("testdata", "pictures", name+".svg")
		if update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(picture), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != picture {
			t.Errorf("%s is not what the screen shows (%v): make generate", path, err)
		}
	}
	if kept, _ := filepath.Glob("testdata/pictures/*.svg"); len(kept) != len(keys) {
		t.Errorf("%d pictures are kept; want %d: take away those of views that are gone", len(kept), len(keys))
	}
}
