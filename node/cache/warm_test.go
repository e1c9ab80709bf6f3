package cache_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/cache"
)

// warmRun is a warmer that runs, and what it asked for and told.
type warmRun struct {
	*cache.Warmer
	mu           sync.Mutex
	asked, told  []string
	stop         context.CancelFunc
	done         chan struct{}
	failing      string
	loadingAtAll chan struct{} // loads wait until it is closed
}

func warm(t *testing.T, c rig, path string, failing string) *warmRun {
	t.Helper()
	w := &warmRun{failing: failing, done: make(chan struct{}), loadingAtAll: make(chan struct{})}
	w.Warmer = cache.NewWarmer(c.Cache, path, func(ctx context.Context, key string) error {
		<-w.loadingAtAll
		w.mu.Lock()
		w.asked = append(w.asked, key)
		w.mu.Unlock()
		if key == failing {
			return errors.New("no such thing")
		}
		return c.Refresh(ctx, cache.Block, key, body("v"))
	}, prometheus.NewRegistry(), func(_, text string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, text)
	})
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	go func() { defer close(w.done); w.Run(ctx) }()
	t.Cleanup(w.end)
	return w
}

func (w *warmRun) begin() {
	select {
	case <-w.loadingAtAll:
	default:
		close(w.loadingAtAll)
	}
}

// end stops the warmer, which writes the hottest entries to disk.
func (w *warmRun) end() { w.begin(); w.stop(); <-w.done }

func (w *warmRun) said() (asked, told []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked), slices.Clone(w.told)
}

func TestAStartIsWarm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hottest.cache")
	first := build(t, false)
	for i := range 50 {
		get(t, first.Cache, fmt.Sprint("immutable ", i), loaded(cache.Loaded{Immutable: true}, strings.Repeat("v", i*100)))
	}
	get(t, first.Cache, "moving", body("v"))
	warm(t, first, path, "").end()

	second := build(t, false)
	set(t, second, "cache.warm.list", "listed, broken")
	w := warm(t, second, path, "broken")
	eventually(t, "the file is read", func() bool { return w.Warming().Total == 3 })
	if p := w.Warming(); !p.Running || p.Done != 0 {
		t.Errorf("%+v", p)
	}
	for i := range 50 {
		if b, tier := get(t, second.Cache, fmt.Sprint("immutable ", i), never(t)); b != strings.Repeat("v", i*100) || tier != cache.L1 {
			t.Errorf("%d: %d bytes from %v", i, len(b), tier)
		}
	}
	w.begin()
	eventually(t, "the round has ended", func() bool { return !w.Warming().Running })
	if p := w.Warming(); p.Done != 3 || p.Failed != 1 {
		t.Errorf("%+v", p)
	}
	asked, told := w.said()
	if slices.Sort(asked); !slices.Equal(asked, []string{"broken", "listed", "moving"}) {
		t.Errorf("asked for %q", asked)
	}
	if len(told) != 1 || !strings.Contains(told[0], "1 of 3 failed") || !strings.Contains(told[0], "broken: no such thing") {
		t.Errorf("told %q", told)
	}
	for _, key := range []string{"moving", "listed"} {
		if _, tier := get(t, second.Cache, key, never(t)); tier != cache.L1 {
			t.Errorf("%s from %v", key, tier)
		}
	}
}

// What is past its time is there for when no provider answers, and is asked for
// anew.
func TestAStartServesStaleFromDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hottest.cache")
	first := build(t, false)
	set(t, first, "cache.ttl.block", "20ms")
	get(t, first.Cache, "k", loaded(cache.Loaded{Immutable: true}, "v"))
	warm(t, first, path, "").end()
	time.Sleep(30 * time.Millisecond)

	second := build(t, false)
	w := warm(t, second, path, "")
	eventually(t, "the file is read", func() bool { return w.Warming().Total == 1 })
	if a, err := second.Get(t.Context(), cache.Block, "k", down); err != nil || !a.Stale || string(a.Body) != "v" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestTheListIsLoadedAgain(t *testing.T) {
	c := build(t, false)
	set(t, c, "cache.warm.list", "listed")
	w := warm(t, c, filepath.Join(t.TempDir(), "hottest.cache"), "")
	w.begin()
	times := func(n int) func() bool { return func() bool { asked, _ := w.said(); return len(asked) >= n } }
	eventually(t, "loaded at start", times(1))
	w.Again()
	eventually(t, "loaded when asked for", times(2))
}

func TestADamagedFileCostsOnlyItself(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "hottest.cache")
	c := build(t, false)
	for i := range 20 {
		get(t, c.Cache, fmt.Sprint("k", i), loaded(cache.Loaded{Immutable: true}, strings.Repeat("v", 50)))
	}
	warm(t, c, path, "").end()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	damage := map[string][]byte{
		"empty":         {},
		"foreign":       []byte("#!/bin/sh\necho hello\n"),
		"cut off":       whole[:len(whole)*2/3],
		"a bit flipped": slices.Concat(whole[:len(whole)/2], []byte{whole[len(whole)/2] ^ 4}, whole[len(whole)/2+1:]),
		"endless":       slices.Concat(whole[:28], []byte{0xff, 0xff, 0xff, 0xff, 0x7f}, whole[28:]),
	}
	for name, data := range damage {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			c := build(t, false)
			w := warm(t, c, path, "")
			eventually(t, "told what is wrong", func() bool { _, told := w.said(); return len(told) == 1 })
			if n := c.Entries(); n >= 20 {
				t.Errorf("%d entries", n)
			}
			for i := range 20 {
				if a, ok := c.Peek(cache.Block, fmt.Append(nil, "k", i)); ok && string(a.Body) != strings.Repeat("v", 50) {
					t.Errorf("k%d: %q", i, a.Body)
				}
			}
			w.end()
			if again, err := os.ReadFile(path); err != nil || len(again) == 0 && c.Entries() > 0 {
				t.Errorf("not written anew: %v", err)
			}
		})
	}
}
