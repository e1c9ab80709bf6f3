package promises

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/bizra/bizra-top/node"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes/load"
)

// How long scenes last: a part, the warm-up of the API and the load on it, each
// before and after.
const (
	span      = 3 * time.Second
	warmUp    = 8 * time.Second
	loadSpan  = 30 * time.Second
	quickSpan = 500 * time.Millisecond
	quickWarm = 3 * time.Second
	quickLoad = 4 * time.Second
)

// Options say what is measured and on what.
type Options struct {
	// Settings are those of the node that is measured; its providers, Redis and
	// database are what the parts run on.
	Settings node.Settings
	// Start starts a whole node with these settings and some changes.
	Start func(context.Context, []settings.Change) (Running, error)
	// Dir is a folder for databases; it is the caller's to remove.
	Dir string
	// Parts says in words what it runs on, Version which program this is.
	Parts, Version string
	// Only selects rows by their name or its first part; empty selects all.
	Only []string
	// Quick takes short spans: a look, not a proof.
	Quick bool
	// Progress, which may be nil, is told what begins: which of how many steps.
	Progress func(what string, step, steps int)
}

// stage is a run of the bench.
type stage struct {
	Options
	span, warmUp, loadSpan time.Duration
	chainID                uint64
	subjects               load.Subjects
	memory                 []Sample
}

type measurement func(*stage, context.Context) (measured, error)

var scenes = []struct {
	name          scene
	before, after measurement
}{
	{sceneBreaker, (*stage).breakerBefore, (*stage).breakerAfter},
	{sceneL1, (*stage).l1Before, (*stage).l1After},
	{sceneL2, (*stage).l2Before, (*stage).l2After},
	{scenePool, (*stage).poolBefore, (*stage).poolAfter},
	{sceneDatabase, (*stage).databaseBefore, (*stage).databaseAfter},
	{sceneValidation, (*stage).validationBefore, (*stage).validationAfter},
	{sceneAPI, (*stage).apiBefore, (*stage).apiAfter},
}

// Run measures and returns the rows that were chosen. After an error, which may be
// the end of ctx, the report holds the rows of the scenes that were complete.
func Run(ctx context.Context, o Options) (Report, error) {
	chosen, err := choose(o.Only)
	if err != nil {
		return Report{}, err
	}
	s := &stage{Options: o, span: span, warmUp: warmUp, loadSpan: loadSpan}
	if o.Quick {
		s.span, s.warmUp, s.loadSpan = quickSpan, quickWarm, quickLoad
	}
	began, used := time.Now(), readProcessors()
	r := Report{Version: o.Version, Host: fmt.Sprintf("%d processors, %s/%s, %s", runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH, runtime.Version()),
		Parts: o.Parts, Quick: o.Quick, Began: began.UTC(), Rows: []Row{}, Memory: []Sample{}}
	_, end, err := s.openUpstreams(ctx) // which chain it is
	if err != nil {
		return r, err
	}
	end()
	figures := map[scene][2]measured{}
	wanted := map[scene]bool{}
	for _, p := range chosen {
		wanted[p.scene] = true
	}
	step := 0
	for _, sc := range scenes {
		if !wanted[sc.name] || err != nil {
			continue
		}
		var both [2]measured
		for i, m := range []measurement{sc.before, sc.after} {
			phase := []string{"before", "after"}[i]
			step++
			if o.Progress != nil {
				o.Progress(string(sc.name)+", "+phase, step, 2*len(wanted))
			}
			pprof.Do(ctx, pprof.Labels("scene", string(sc.name), "phase", phase), func(ctx context.Context) { both[i], err = m(s, ctx) })
			if err = errors.Join(err, ctx.Err()); err != nil {
				err = fmt.Errorf("%s, %s: %w", sc.name, phase, err)
				break
			}
		}
		if err == nil {
			figures[sc.name] = both
		}
	}
	for _, p := range chosen {
		if both, ok := figures[p.scene]; ok {
			r.Rows = append(r.Rows, p.row(both[0][p.name], both[1][p.name]))
		}
	}
	if s.memory != nil {
		r.Memory = s.memory
	}
	r.Others = readProcessors().othersSince(used)
	r.Took = time.Since(began).Seconds()
	return r, err
}
