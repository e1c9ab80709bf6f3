package tui

import (
	"context"
	"testing"

	tea "charm.land/bubbletea/v2"
)

// BenchmarkView draws the whole overview: what one tick or one key costs.
func BenchmarkView(b *testing.B) {
	for name, size := range sizes {
		b.Run(name, func(b *testing.B) {
			d := newFakeDoor()
			m, err := newModel(context.Background(), d, Options{})
			if err != nil {
				b.Fatal(err)
			}
			m.now = d.now
			for _, cmd := range []tea.Cmd{m.fetchHistory(), m.fetchPanels(), m.fetchSettings(), m.lookNow()} {
				m.Update(cmd())
			}
			m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
			b.ReportAllocs()
			for b.Loop() {
				m.View()
			}
		})
	}
}
