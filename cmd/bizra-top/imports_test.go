package main

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/bizra/bizra-top/"

// Imports run one way: cmd -> tui -> alerts -> probes -> node. themes,
// node/settings, node/printable, node/latency and others are leaves. The screen knows the node through
// its door alone.
func TestImportsRunOneWay(t *testing.T) {
	forbidden := map[string][]string{
		"tui":                   {"cmd", "node/api", "node/upstream", "node/cache", "node/breaker", "node/pool", "node/store", "node/validation", "node/devchain"},
		"alerts":                {"cmd", "tui", "themes"},
		"probes":                {"cmd", "tui", "themes", "alerts"},
		"node":                  {"cmd", "tui", "themes", "alerts", "probes"},
		"themes":                {"cmd", "tui", "alerts", "probes", "node"},
		"node/settings":         {"node"},
		"node/printable":        {"node"},
		"node/latency":          {"node"},
		"node/supervise":        {"node"},
		"node/secret":           {"node"},
		"node/connections":      {"node"},
		"node/descriptors":      {"node"},
		"node/files":            {"node"},
		"node/control":          {"node/api", "node/upstream", "node/cache", "node/breaker", "node/pool", "node/store", "node/validation", "node/devchain"},
		"node/breaker":          {"node/api", "node/upstream", "node/cache", "node/pool", "node/store", "node/validation", "node/control"},
		"node/upstream":         {"node/api", "node/cache", "node/pool", "node/store", "node/validation", "node/control"},
		"node/upstream/refusal": {"node"},
		"node/cache":            {"node/api", "node/upstream", "node/pool", "node/store", "node/validation", "node/control"},
		"node/gateway/verify":   {"node/api", "node/upstream", "node/cache", "node/breaker", "node/pool", "node/store", "node/control", "node/devchain"},
		"node/upstream/head":    {"node/api", "node/cache", "node/breaker", "node/pool", "node/store", "node/validation", "node/control", "node/devchain"},
		"node/control/trial":    {"node/control", "node/audit", "node/api", "node/upstream", "node/cache", "node/breaker", "node/pool", "node/store", "node/validation", "node/devchain"},
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for line := range strings.Lines(string(out)) {
		from, imports, _ := strings.Cut(strings.TrimSpace(line), ": ")
		from = strings.TrimPrefix(from, module)
		packages++
		for _, imported := range strings.Fields(imports) {
			to, ours := strings.CutPrefix(imported, module)
			if !ours {
				if imported == strings.TrimSuffix(module, "/") {
					t.Errorf("%s imports the module's root", from)
				}
				continue
			}
			for place, banned := range forbidden {
				if !within(from, place) {
					continue
				}
				for _, b := range banned {
					if within(to, b) && to != from {
						t.Errorf("%s imports %s: %s may not reach %s", from, to, place, b)
					}
				}
			}
		}
	}
	if packages < 15 {
		t.Fatalf("only %d packages were looked at", packages)
	}
}

func within(pkg, place string) bool {
	return pkg == place || strings.HasPrefix(pkg, place+"/")
}
