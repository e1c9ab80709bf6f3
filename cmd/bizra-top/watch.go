package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/api"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/supervise"
)

// watchStateEvery is how often the state folder is looked for at its path.
const watchStateEvery = time.Second

// stateWatch notices that the state folder, or a file in it that is open, was removed
// while the node runs. What can be made anew with what it held is: the ledger by itself,
// the audit trail, silences, the queue of alerts and the control socket here.
type stateWatch struct {
	service *service
	place   place
	groups  control.Groups
	keep    map[string]func() error // by what it is

	mu      sync.Mutex
	problem string // what is wrong with the folder now, or ""

	folder, socket files.Identity
	failing        map[string]string
}

// health is the state folder as a part of the history's check: who asks why the past is
// missing finds it there.
func (w *stateWatch) health() api.HealthPart {
	w.mu.Lock()
	defer w.mu.Unlock()
	part := api.HealthPart{Component: "state folder", Status: api.Pass}
	if w.problem != "" {
		part.Status, part.Output, part.Detail = api.Fail, "it was removed or replaced while the node runs", w.problem
	}
	return part
}

// run watches until ctx ends.
func (w *stateWatch) run(ctx context.Context) {
	w.failing = map[string]string{}
	w.folder, _ = files.Identify(w.place.stateDir) // what is wrong with it is found below
	w.socket, _ = files.Identify(w.place.socket)
	var served sync.WaitGroup
	defer served.Wait()
	tick := time.NewTicker(watchStateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.look(&served)
	}
}

// look is one round of run.
func (w *stateWatch) look(served *sync.WaitGroup) {
	folder, err := files.Identify(w.place.stateDir)
	switch {
	case err != nil:
		w.tellOnce("folder", fmt.Sprintf("the state folder cannot be looked at: %v", err))
	case folder != w.folder:
		problem := fmt.Sprintf("%s was removed or replaced while the node runs: what the ledger and the audit trail hold is written there anew; the history goes on with the next start", w.place.stateDir)
		w.mu.Lock()
		w.problem = problem
		w.mu.Unlock()
		w.tellOnce("folder", problem)
		if _, err := files.Folder(w.place.stateDir, true); err != nil {
			w.tellOnce("folder made", err.Error())
		} else {
			w.folder, _ = files.Identify(w.place.stateDir) // it was just made
			delete(w.failing, "folder")
		}
	}
	for name, keep := range w.keep {
		if err := keep(); err != nil {
			w.tellOnce(name, fmt.Sprintf("%s cannot be made anew: %v", name, err))
		} else {
			delete(w.failing, name)
		}
	}
	w.keepSocket(served)
}

// keepSocket opens the control socket again when its file is gone: without it nobody could
// change anything, or see why.
func (w *stateWatch) keepSocket(served *sync.WaitGroup) {
	is, err := files.Identify(w.place.socket)
	if err != nil || is != (files.Identity{}) || w.socket == (files.Identity{}) {
		return
	}
	l, err := control.Listen(w.place.socket, w.groups)
	if err != nil {
		w.tellOnce("control socket", fmt.Sprintf("the control socket was removed and cannot be opened again: %v", err))
		return
	}
	delete(w.failing, "control socket")
	w.socket, _ = files.Identify(w.place.socket) // it was just made
	w.service.tell("node", "bad", "control", w.place.socket+" was removed while the node runs: it is opened again")
	supervise.Essential(served, "control socket", func() {
		if err := w.service.door.ServeAlso(l); err != nil {
			w.service.log.Error("the control socket has stopped answering", "error", err)
		}
	})
}

// tellOnce tells of what is wrong, until it is something else.
func (w *stateWatch) tellOnce(what, text string) {
	if w.failing[what] != text {
		w.failing[what] = text
		w.service.tell("node", "bad", "state", text)
	}
}

// health says how the parts beside the node are.
func (s *service) health() map[string][]api.HealthPart {
	sampling := api.HealthPart{Component: "sampling", Status: api.Pass}
	why, newest := s.sampler.Stopped()
	if sampling.Time = newest.UTC(); why != "" {
		sampling.Status, sampling.Output, sampling.Detail = api.Fail, "no samples are taken", why
	}
	receivers, unsaved := s.delivery.Receivers()
	queue := api.HealthPart{Component: "queue", Status: api.Pass}
	if unsaved != nil {
		queue.Status, queue.Output, queue.Detail = api.Fail, "a restart would lose what waits", unsaved.Error()
	}
	told := []api.HealthPart{queue}
	for _, r := range receivers {
		part := api.HealthPart{Component: r.Name, Status: api.Pass, Time: r.LastSuccess.UTC()}
		if r.Error != "" {
			part.Status, part.Output, part.Detail = api.Fail, "it does not take alerts", r.Error
		}
		told = append(told, part)
	}
	return map[string][]api.HealthPart{api.CheckHistory: {sampling, s.state.health()}, api.CheckAlerts: told}
}
