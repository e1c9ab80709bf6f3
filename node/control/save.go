package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/settings"
)

// maxAudit bounds the entries of one answer.
const maxAudit = 1000

func (s *Server) save(_ http.ResponseWriter, r *http.Request) (any, error) {
	var req SaveRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	p := peerOf(r)
	// One after the other. Changes do not wait for the disk meanwhile, and neither does
	// what reverts them.
	s.saving.Lock()
	defer s.saving.Unlock()
	overrides, onTrial, err := s.changes.Overrides()
	if err != nil {
		return nil, err
	}
	result := SaveResult{Path: s.host.Overrides, OnTrial: onTrial, Differences: append([]settings.Difference{}, overrides.Differences...)}
	if req.DryRun {
		return result, nil
	}
	if result.Backup, err = replaceFile(s.host.Overrides, overrides.File); err != nil {
		return nil, s.refuse(p, audit.Entry{Verb: "save"}, fmt.Errorf("save the overrides: %w", err))
	}
	s.changes.Saved(overrides)
	result.Saved = true
	for _, d := range overrides.Differences {
		s.record(p, audit.Entry{Verb: "save", Outcome: "done", Subject: d.Key, Old: d.Old, New: d.New})
	}
	s.host.Events.Add(Event{Kind: "change", Severity: "info", Subject: "overrides",
		Text: fmt.Sprintf("saved: %d differences, in %s", len(overrides.Differences), s.host.Overrides), Actor: p.name})
	s.host.Changed()
	return result, nil
}

// replaceFile puts a file in the place of another, whole or not at all, and keeps
// the other beside it.
func replaceFile(path string, data []byte) (backup string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	if _, err := os.Lstat(path); err == nil {
		backup = path + ".bak"
		if err := os.Remove(backup); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err := os.Link(path, backup); err != nil {
			return "", err
		}
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return "", err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return backup, errors.Join(dir.Sync(), dir.Close())
}

func (s *Server) explain(_ http.ResponseWriter, r *http.Request) (any, error) {
	layers, err := s.host.Registry.Explain(r.PathValue("key"))
	if err != nil {
		return nil, &Problem{http.StatusNotFound, err.Error()}
	}
	return layers, nil
}

func (s *Server) audit(_ http.ResponseWriter, r *http.Request) (any, error) {
	limit := 100
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxAudit {
			return nil, &Problem{http.StatusBadRequest, fmt.Sprintf("limit must be a number from 1 to %d", maxAudit)}
		}
	}
	entries, err := s.host.Audit.Read(limit, nil)
	if err != nil {
		return nil, err
	}
	if entries == nil {
		entries = []audit.Entry{}
	}
	return entries, nil
}

// Reload puts what the configuration file now says in force, as one batch: all of
// it or none. What a stronger source decides, what is on trial and what is read at
// start only stays; those keys are told of and returned.
func (s *Server) Reload(source settings.Source, batch []settings.Change, why string) (changed []Changed, unmoved []string, err error) {
	changed, err = s.changes.Reload(why, func() (applied []settings.Applied, err error) {
		applied, unmoved, err = s.host.Registry.Replace(source, batch)
		return applied, err
	})
	if err != nil {
		s.record(node, audit.Entry{Verb: "reload", Outcome: "refused", Reason: err.Error()})
		return nil, nil, err
	}
	return changed, unmoved, nil
}
