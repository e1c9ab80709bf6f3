package head

// Stance is how a provider's chain goes together with the trusted one.
type Stance uint32

// The stances.
const (
	Unknown Stance = iota // it has not said, or is behind on the same chain
	Stands                // it has the trusted head
	Strays                // it has another block at a height where the canonical one is known
)

// Stance returns how a provider's chain goes together with the trusted one. It takes some
// nanoseconds.
func (t *Tracker) Stance(provider int) Stance { return Stance(t.stances[provider].Load()) }

// Strays says whether a provider is known to be on another fork.
func (t *Tracker) Strays(provider int) bool { return t.Stance(provider) == Strays }

// stance compares what the provider has said with the trusted chain.
func (s *seat) stance(m *Moment, canonical func(uint64) (Hash, bool)) Stance {
	height := min(s.newest, m.Number)
	own, told := s.view[height]
	switch hash, known := canonical(height); {
	case s.heard.IsZero():
		return Unknown
	case told && known && hash != (Hash{}) && own != hash:
		return Strays
	case told && height == m.Number, s.hashless && s.newest >= m.Number:
		return Stands
	}
	return Unknown
}

// takeStances notes how each provider stands. The caller holds mu.
func (t *Tracker) takeStances(m *Moment) {
	w := t.window.Load()
	for i := range t.seats {
		t.stances[i].Store(uint32(t.seats[i].stance(m, w.hash)))
	}
}
