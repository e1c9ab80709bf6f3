package main

import (
	"regexp"
	"time"
)

// stampLayout is how times are printed for people: in the zone of who reads them, which
// is named.
const stampLayout = "2006-01-02 15:04:05 MST"

func stamp(t time.Time) string { return t.In(zone).Format(stampLayout) }

// zone is the reader's. Tests alone set it.
var zone = time.Local

var inText = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)

// inOneZone has the moments within a text of the node's in the zone of the others.
func inOneZone(text string) string {
	return inText.ReplaceAllStringFunc(text, func(moment string) string {
		t, err := time.Parse(time.RFC3339, moment)
		if err != nil {
			return moment
		}
		return stamp(t)
	})
}
