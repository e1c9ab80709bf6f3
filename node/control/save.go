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
	defer s.changes.hold()()
	result := SaveResult{Path: s.host.Overrides, OnTrial: s.changes.onTrial(), Differences: []settings.Difference{}}
	file, differences, err := s.host.Registry.Overrides(result.OnTrial)
	if err != nil {
		return nil, err
	}
	result.Differences = append(result.Differences, differences...)
	if req.DryRun {
		return result, nil
	}
	if result.Backup, err = replaceFile(s.host.Overrides, file); err != nil {
		return nil, s.refuse(p, audit.Entry{Verb: "save"}, fmt.Errorf("save the overrides: %w", err))
	}
	s.host.Registry.Saved(result.OnTrial)
	result.Saved = true
	for _, d := range differences {
		s.record(p, audit.Entry{Verb: "save", Outcome: "done", Subject: d.Key, Old: d.Old, New: d.New})
	}
	s.host.Events.Add(Event{Kind: "change", Severity: "info", Subject: "overrides",
		Text: fmt.Sprintf("saved: %d differences, in %s", len(differences), s.host.Overrides), Actor: p.name})
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
	defer s.changes.hold()()
	applied, unmoved, err := s.host.Registry.Replace(source, batch)
	if err != nil {
		s.record(node, audit.Entry{Verb: "reload", Outcome: "refused", Reason: err.Error()})
		return nil, nil, err
	}
	for _, c := range s.result(applied, true).Changes {
		if c.Old != c.New {
			changed = append(changed, c)
		}
	}
	if len(changed) > 0 {
		s.tell(node, "reload", why, 0, changed)
	}
	return changed, unmoved, nil
}
