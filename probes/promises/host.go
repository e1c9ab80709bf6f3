package promises

import (
	"runtime"
	"time"

	"github.com/prometheus/procfs"
)

// processors is how much of the processors was used up to a moment, in seconds.
type processors struct {
	at        time.Time
	all, here float64 // by everything, steal included, and by this process
	known     bool    // not where there is no /proc
}

func readProcessors() processors {
	p := processors{at: time.Now()}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return p
	}
	stat, err := fs.Stat()
	if err != nil {
		return p
	}
	self, err := fs.Self()
	if err != nil {
		return p
	}
	own, err := self.Stat()
	if err != nil {
		return p
	}
	c := stat.CPUTotal
	p.all, p.here, p.known = c.User+c.Nice+c.System+c.IRQ+c.SoftIRQ+c.Steal, own.CPUTime(), true
	return p
}

// othersSince returns which share of the processors other programs have used since,
// from 0 to 1, or below 0 where that cannot be told.
func (p processors) othersSince(before processors) float64 {
	seconds := p.at.Sub(before.at).Seconds() * float64(runtime.NumCPU())
	if !p.known || !before.known || seconds <= 0 {
		return -1
	}
	return min(max((p.all-before.all-(p.here-before.here))/seconds, 0), 1)
}
