package descriptors

import "testing"

func TestWhatIsKeptIsNeverGivenAway(t *testing.T) {
	for _, limit := range []int{128, 256, 1024, 65536, 1 << 20} {
		c, p := clients(limit), providers(limit)
		if c+p+kept(limit) > limit {
			t.Errorf("of %d descriptors clients get %d and providers %d: less than %d are kept", limit, c, p, kept(limit))
		}
		if c < 8 || p < 4 {
			t.Errorf("of %d descriptors clients get %d and providers %d", limit, c, p)
		}
	}
}
