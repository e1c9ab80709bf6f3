package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// built is the folder of the programs that the tests run, empty until one does.
var built string

// Whole nodes run in this process: none may leave a goroutine behind. Otter ends its
// own when the cache is collected, which is not asked for; toxiproxy forgets toxics whose
// link was cut while they had something to hand on.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/maypok86/otter/v2.periodicCleanUp[...]"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.Cleanup(func(code int) {
			if built != "" {
				_ = os.RemoveAll(built) // what is left in a folder for such things fails no test
			}
			os.Exit(code)
		}))
}
