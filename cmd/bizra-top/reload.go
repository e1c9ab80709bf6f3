package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/settings"
)

// lookEvery is how often the configuration file is looked at.
const lookEvery = 2 * time.Second

// configFile watches the configuration file. It is looked at by what is in it, so
// that it does not matter how it is replaced: written in place, renamed over, or
// behind a symbolic link that moves on.
//
// The overrides file is not watched: the node itself writes it, and what is in it is
// in force already.
type configFile struct {
	path     string
	registry *settings.Registry
	log      *slog.Logger
	seen     string // version that was dealt with last
	next     string // version of the last look, if it is another one
	// apply puts what the file says in force, or refuses it.
	apply func(batch []settings.Change, mistake error, why string) error
}

// digest names what a file holds, or why it cannot be read.
func digest(data []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// run deals with changes of the file, and with demands, until ctx ends.
func (c *configFile) run(ctx context.Context, demands <-chan os.Signal) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-demands:
			if c.path == "" {
				c.log.Warn("SIGHUP: there is nothing to reload: the node was started without --config")
				continue
			}
			data, err := readConfig(c.path)
			c.deal(data, err, "SIGHUP")
		case <-tick.C:
			if c.path != "" {
				c.look()
			}
		}
	}
}

// look deals with another version of the file once it has stood still for one look:
// a file that is being written is no change yet.
func (c *configFile) look() {
	data, err := readConfig(c.path)
	switch now := digest(data, err); now {
	case c.seen:
		c.next = ""
	case c.next:
		c.deal(data, err, "the file has changed")
	default:
		c.next = now
	}
}

func (c *configFile) deal(data []byte, err error, why string) {
	c.seen, c.next = digest(data, err), ""
	var batch []settings.Change
	if err == nil {
		batch, err = c.registry.ParseYAML(c.path, data)
	}
	if err := c.apply(batch, err, why); err != nil {
		for line := range strings.Lines(err.Error()) {
			c.log.Error(strings.TrimSpace(line))
		}
	}
}

// readConfig reads a configuration file.
func readConfig(path string) ([]byte, error) {
	data, err := files.Read(path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read the configuration: %w; `bizra-top config init > %s` writes one", err, path)
	case errors.Is(err, files.ErrNotRegular): // a pipe would be waited for
		return nil, fmt.Errorf("%s is not a configuration file: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return data, nil
}
