package alerts

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v3"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/printable"
)

//go:embed rules/*.yaml
var embedded embed.FS

// Shipped returns the rule files that are part of the binary, by name.
func Shipped() map[string][]byte {
	entries, err := embedded.ReadDir("rules")
	if err != nil {
		panic(err) // it is part of the binary
	}
	out := map[string][]byte{}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "_test.yaml") {
			continue
		}
		if out[e.Name()], err = embedded.ReadFile("rules/" + e.Name()); err != nil {
			panic(err)
		}
	}
	return out
}

// Bounds of what the operator's own rule files may hold.
const (
	maxRuleFiles = 100
	maxRuleFile  = 1 << 20
)

// ruleFiles are rule files that were read, by name: the shipped ones without a
// folder, the operator's by absolute path. It is what the rule manager loads, so
// that a file which changes meanwhile cannot slip in unchecked.
type ruleFiles struct {
	parser parser.Parser
	log    *slog.Logger
	data   map[string][]byte
}

// readRuleFiles reads the shipped files and those that the patterns name. A
// pattern without a wildcard must name a file.
func readRuleFiles(patterns []string) (map[string][]byte, error) {
	data := Shipped()
	var failed []error
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err == nil && len(names) == 0 && !strings.ContainsAny(pattern, `*?[`) {
			names = []string{pattern} // the error of opening it says why
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("alerts.rule_files: %q: %w", pattern, err))
		}
		for _, name := range names {
			if len(data) >= maxRuleFiles {
				return nil, fmt.Errorf("alerts.rule_files: more than %d rule files", maxRuleFiles)
			}
			content, err := readRuleFile(name)
			if err != nil {
				failed = append(failed, err)
				continue
			}
			if name, err = filepath.Abs(name); err != nil {
				failed = append(failed, err)
				continue
			}
			data[name] = content
		}
	}
	return data, errors.Join(failed...)
}

func readRuleFile(name string) ([]byte, error) {
	return files.Read(name, maxRuleFile)
}

// check parses every file; its error has a line for each mistake, with file,
// line and column.
func (f ruleFiles) check() error {
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(f.data)) {
		_, errs := f.Load(name, false, model.UTF8Validation)
		failed = append(failed, errs...)
	}
	return errors.Join(failed...)
}

// Load implements rules.GroupLoader.
func (f ruleFiles) Load(name string, ignoreUnknown bool, scheme model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	groups, errs := rulefmt.Parse(f.data[name], ignoreUnknown, scheme, f.parser, f.log)
	for i, err := range errs {
		errs[i] = fmt.Errorf("%s: %s%w", name, f.place(name, err), err)
	}
	return groups, errs
}

// Parse implements rules.GroupLoader.
func (f ruleFiles) Parse(query string) (parser.Expr, error) { return f.parser.ParseExpr(query) }

// place returns where the rule of an error stands if the error does not say so
// itself, as those about templates and labels do not.
func (f ruleFiles) place(name string, err error) string {
	var mistake *rulefmt.Error
	if !errors.As(err, &mistake) || !strings.HasPrefix(mistake.Error(), "group ") {
		return ""
	}
	var file struct{ Groups []rulefmt.RuleGroupNode }
	if yaml.Unmarshal(f.data[name], &file) != nil {
		return ""
	}
	for _, g := range file.Groups {
		if g.Name == mistake.Group && mistake.Rule <= len(g.Rules) {
			at := g.Rules[mistake.Rule-1].Alert
			if at.Line == 0 {
				at = g.Rules[mistake.Rule-1].Record
			}
			return fmt.Sprintf("%d:%d: ", at.Line, at.Column)
		}
	}
	return ""
}

// load reads the rule files and, where something has changed and all is well,
// runs the new rules. After an error the rules that ran go on.
func (e *Evaluator) load() error {
	patterns := e.settings.Files.Get()
	if e.loaded != nil && len(patterns) == 0 && len(e.loaded) == e.shipped {
		return nil // the shipped files do not change
	}
	data, err := readRuleFiles(patterns)
	if err != nil {
		return err
	}
	if e.loaded != nil && maps.EqualFunc(data, e.loaded, slices.Equal[[]byte]) {
		return nil
	}
	files := ruleFiles{e.parser, e.log, data}
	if err := files.check(); err != nil {
		return err
	}
	e.loader.files.Store(&files)
	if err := e.manager.Update(e.every, slices.Sorted(maps.Keys(data)), labels.EmptyLabels(), "", e.evaluate); err != nil {
		return err
	}
	var alerts, records time.Duration
	for _, g := range e.manager.RuleGroups() {
		for _, r := range g.Rules() {
			switch r.(type) {
			case *rules.AlertingRule:
				alerts = max(alerts, g.Interval())
			case *rules.RecordingRule:
				records = max(records, g.Interval())
			}
		}
	}
	e.history.RulesEvery(alerts, records)
	e.described.Clear() // the rules before are gone
	e.loaded = data
	if len(patterns) == 0 {
		e.shipped = len(data)
	}
	return nil
}

// reload loads the rules anew if a file or the list of files has changed, and
// tells once of files that are refused and of those that are taken.
func (e *Evaluator) reload(ctx context.Context) {
	before := e.loaded
	err := e.load()
	if ctx.Err() != nil {
		return
	}
	problem := ""
	if err != nil {
		problem = printable.Clean(err.Error(), 500)
	}
	event := control.Event{Kind: "alert", Severity: "good", Subject: "alerts.rule_files", Text: "rule files loaded"}
	switch {
	case problem != "" && problem != e.refused:
		event.Severity, event.Text = "warn", "rule files refused, the rules before go on: "+problem
	case problem != "" || e.refused == "" && maps.EqualFunc(before, e.loaded, slices.Equal[[]byte]):
		return
	}
	e.refused = problem
	e.broken.Set(0)
	if problem != "" {
		e.broken.Set(1)
	}
	e.notify(event)
}
