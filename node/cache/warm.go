package cache

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/supervise"
)

// WarmSettings are the tunables of warming.
type WarmSettings struct {
	List        *settings.Value[[]string]
	Every       *settings.Value[time.Duration]
	Hottest     *settings.Value[int]
	MaxBytes    *settings.Value[int64]
	Concurrency *settings.Value[int]
}

func declareWarm(r *settings.Registry) WarmSettings {
	return WarmSettings{
		List: settings.List(r, settings.Spec{Key: "cache.warm.list", Risk: settings.RiskMedium,
			Doc: "What is loaded at start and kept warm, such as \"block finalized\", \"address 0x…\" or \"eth_getBalance 0x… latest\"."}, nil),
		Every: settings.Duration(r, settings.Spec{Key: "cache.warm.every", Min: 0, Max: 86400, Step: 60,
			Doc: "How often cache.warm.list is loaded anew; 0 loads it at start only.", Risk: settings.RiskMedium}, 10*time.Minute),
		Hottest: settings.Int(r, settings.Spec{Key: "cache.warm.hottest", Unit: "entries", Min: 0, Max: 100_000, Step: 100,
			Doc: "The entries of L1 read most that are kept on disk for the next start; 0 turns that off.", Risk: settings.RiskLow}, 1000),
		MaxBytes: settings.Bytes(r, settings.Spec{Key: "cache.warm.max_bytes", Min: 0, Max: 1 << 30, Step: 1 << 20,
			Doc: "Largest size of the file those entries are kept in."}, 16<<20),
		Concurrency: settings.Int(r, settings.Spec{Key: "cache.warm.concurrency", Unit: "loads", Min: 1, Max: 64, Step: 1,
			Doc: "Loads under way at once while warming.", Risk: settings.RiskMedium}, 4),
	}
}

// saveEvery is how often the hottest entries are written to disk.
const saveEvery = 5 * time.Minute

// Warming is how far warming is.
type Warming struct {
	Running             bool
	Done, Failed, Total int64     // loads of this round
	Since               time.Time // when the round began, or ended
}

// Warmer fills the cache before it is asked: at start with the hottest entries of
// the last run, then with what the configuration lists, again and again.
type Warmer struct {
	cache *Cache
	path  string
	load  func(ctx context.Context, key string) error
	// notify is told of each round, and of what is wrong with the file.
	notify func(severity, text string)

	again               chan struct{}
	restored            chan struct{} // closed when the file was read
	running             atomic.Bool
	done, failed, total atomic.Int64
	since               atomic.Int64 // Unix nanoseconds
}

// NewWarmer returns a warmer that keeps its entries in the file path. load loads
// one key anew, given as a cache key or as cache.warm.list writes it. Run must be
// running for anything to happen.
func NewWarmer(c *Cache, path string, load func(ctx context.Context, key string) error, reg prometheus.Registerer, notify func(severity, text string)) *Warmer {
	w := &Warmer{cache: c, path: path, load: load, notify: notify, again: make(chan struct{}, 1), restored: make(chan struct{})}
	gauge := func(name, help string, n *atomic.Int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(n.Load()) })
	}
	reg.MustRegister(gauge("bizra_cache_warm_planned_loads", "Loads of the newest round of warming.", &w.total),
		gauge("bizra_cache_warm_done_loads", "Loads of the newest round of warming that have ended.", &w.done),
		gauge("bizra_cache_warm_failed_loads", "Loads of the newest round of warming that failed.", &w.failed))
	return w
}

// Warming returns how far the newest round is.
func (w *Warmer) Warming() Warming {
	return Warming{w.running.Load(), w.done.Load(), w.failed.Load(), w.total.Load(), time.Unix(0, w.since.Load())}
}

// Restored is closed once Run has read the entries of the last run from disk.
func (w *Warmer) Restored() <-chan struct{} { return w.restored }

// Again starts a round of cache.warm.list as soon as none is under way.
func (w *Warmer) Again() {
	select {
	case w.again <- struct{}{}:
	default: // one is asked for already
	}
}

// Run warms, once, until ctx ends, then writes the hottest entries to disk.
func (w *Warmer) Run(ctx context.Context) {
	stale, err := w.restore()
	close(w.restored)
	if err != nil {
		w.notify("warn", "warm start: "+err.Error())
	}
	w.round(ctx, append(stale, w.cache.settings.Warm.List.Get()...))
	next, save := time.Now(), time.NewTicker(saveEvery)
	defer save.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := w.save(); err != nil {
				w.notify("warn", "the hottest entries are not kept for the next start: "+err.Error())
			}
			return
		case <-save.C:
			if err := w.save(); err != nil {
				w.notify("warn", "the hottest entries are not kept for the next start: "+err.Error())
			}
		case <-w.again:
			w.round(ctx, w.cache.settings.Warm.List.Get())
			next = time.Now()
		case <-tick.C:
			if every := w.cache.settings.Warm.Every.Get(); every > 0 && time.Since(next) >= every {
				w.round(ctx, w.cache.settings.Warm.List.Get())
				next = time.Now()
			}
		}
	}
}

// round loads keys, a few at once.
func (w *Warmer) round(ctx context.Context, keys []string) {
	if len(keys) == 0 {
		return
	}
	w.done.Store(0)
	w.failed.Store(0)
	w.total.Store(int64(len(keys)))
	w.since.Store(time.Now().UnixNano())
	w.running.Store(true)
	defer func() { w.since.Store(time.Now().UnixNano()); w.running.Store(false) }()
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, w.cache.settings.Warm.Concurrency.Get())
		first atomic.Pointer[error]
	)
	for _, key := range keys {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		supervise.Go(&wg, "warming", func() {
			defer func() { <-slots }()
			if err := w.load(ctx, key); err != nil && ctx.Err() == nil {
				err = fmt.Errorf("%s: %w", key, err)
				first.CompareAndSwap(nil, &err)
				w.failed.Add(1)
			}
			w.done.Add(1)
		}, func(error) { w.failed.Add(1); w.done.Add(1) })
	}
	wg.Wait()
	if err := first.Load(); err != nil {
		w.notify("warn", fmt.Sprintf("warming: %d of %d failed, the first is %s", w.failed.Load(), len(keys), *err))
	}
}

// The file of the hottest entries is this line, then one record an entry: the
// length of the key, the key, the length of its envelope, the envelope, which is
// empty for what will not outlive a restart. Lengths are unsigned varints.
const warmMagic = "bizra-top hottest entries 2\n"

// onDisk is where its envelopes stand: they are the node's own, and not signed.
const onDisk = "file"

// save writes the hottest entries to disk, whole or not at all.
func (w *Warmer) save() (err error) {
	most, room := w.cache.settings.Warm.Hottest.Get(), w.cache.settings.Warm.MaxBytes.Get()
	if most == 0 {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(w.path), filepath.Base(w.path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // the first error is the one that matters
			_ = os.Remove(f.Name())
		}
	}()
	out := bufio.NewWriter(f)
	if _, err := out.WriteString(warmMagic); err != nil {
		return err
	}
	for hot := range w.cache.l1.Hottest() {
		if most--; most < 0 || room < 0 {
			break
		}
		var sealed []byte
		if hot.Value.immutable {
			if sealed, err = seal(hot.Value, nil, onDisk); err != nil {
				return err
			}
		}
		if room -= int64(len(hot.Value.key) + len(sealed)); room < 0 {
			break
		}
		for _, part := range [][]byte{[]byte(hot.Value.key), sealed} {
			if _, err := out.Write(binary.AppendUvarint(nil, uint64(len(part)))); err != nil {
				return err
			}
			if _, err := out.Write(part); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(out.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), w.path)
}

// restore fills L1 with the immutable entries on disk and returns the keys that
// must be loaded anew. What is damaged ends the reading; nothing of it is used.
func (w *Warmer) restore() (keys []string, err error) {
	if w.cache.settings.Warm.Hottest.Get() == 0 {
		return nil, nil
	}
	f, err := files.OpenState(w.path, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(io.LimitReader(f, 2*w.cache.settings.Warm.MaxBytes.Get()+int64(len(warmMagic))))
	magic := make([]byte, len(warmMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != warmMagic {
		return nil, fmt.Errorf("%s is not a file of hottest entries; it is written anew", w.path)
	}
	for i := range w.cache.settings.Warm.Hottest.Get() {
		damaged := fmt.Errorf("%s is damaged behind entry %d; what follows is not used", w.path, i)
		key, err := readPart(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return keys, damaged
		}
		sealed, err := readPart(in)
		if err != nil {
			return keys, damaged
		}
		if len(sealed) > 0 {
			e, err := unseal(string(key), sealed, nil, onDisk)
			if err != nil {
				return keys, damaged
			}
			now := monotonic.Now()
			if e.until += int64(w.cache.settings.StaleFor.Get()); now < e.until {
				w.cache.keep(w.cache.slot(e.key), e)
			}
			if e.fresh(now) {
				continue
			}
		}
		keys = append(keys, string(key))
	}
	return keys, nil
}

// readPart reads a length and that many bytes; io.EOF only in front of a length.
func readPart(in *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	if n > maxBody+headerLength {
		return nil, errCorrupt
	}
	part := make([]byte, n)
	if _, err := io.ReadFull(in, part); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return part, nil
}
