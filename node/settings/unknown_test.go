package settings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/settings"
)

// After a downgrade the overrides hold settings that this version lacks. They are no
// mistake, have no effect, and are there when the file is written again.
func TestRowsOfAnotherVersionAreKept(t *testing.T) {
	r, h := declare()
	text := "# Written by a later version\npool.limit: \"12\"\nfuture.bound: \"7\"\nfuture:\n  list: [a, b]\n  nested:\n    deep: yes it is\nempty.one:\nodd.list: [{a: 1}]\n"
	changes, unknown, err := r.ParseOverrides("overrides.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Load(settings.SourceOverrides, changes); err != nil {
		t.Fatal(err)
	}
	r.KeepUnknown(unknown)
	keys := []string{}
	for _, u := range r.Unknown() {
		keys = append(keys, u.Key)
	}
	if want := []string{"future.bound", "future.list", "future.nested.deep", "empty.one", "odd.list"}; !slices.Equal(keys, want) || h.limit.Get() != 12 {
		t.Errorf("%v, pool.limit %d", keys, h.limit.Get())
	}
	if unknown[0].Line != 3 || unknown[0].Value != "7" {
		t.Errorf("%+v", unknown[0])
	}
	if _, err := r.Apply([]settings.Change{{Key: "pool.limit", Value: "13"}}); err != nil {
		t.Fatal(err)
	}
	saved, err := r.Overrides(nil)
	if err != nil || len(saved.Differences) != 1 {
		t.Fatalf("%+v %v", saved.Differences, err)
	}
	file := saved.File
	// What was written reads the same, by this version and by one that knows the settings.
	again, _ := declare()
	settings.Int(again, settings.Spec{Key: "future.bound", Max: 10, Doc: "Bound."}, 1)
	changes, unknown, err = again.ParseOverrides("overrides.yaml", file)
	if err != nil || len(unknown) != 4 || !slices.Contains(changes, settings.Change{Key: "future.bound", Value: "7"}) || !slices.Contains(changes, settings.Change{Key: "pool.limit", Value: "13"}) {
		t.Errorf("%v %+v %v\n%s", changes, unknown, err, file)
	}
	// A mistake in a setting that is known is one as ever, and so is an unknown one in the
	// configuration.
	if _, _, err := r.ParseOverrides("overrides.yaml", []byte("pool.limit: many\nfuture.bound: 7\n")); err == nil || !strings.Contains(err.Error(), "overrides.yaml:1:1") {
		t.Errorf("%v", err)
	}
	if _, err := r.ParseYAML("bizra-top.yaml", []byte("future.bound: 7\n")); err == nil {
		t.Error("an unknown setting in the configuration is taken")
	}
}
