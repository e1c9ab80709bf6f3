package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTheOpenAPIDocumentDescribesEveryRoute(t *testing.T) {
	r := start(t, options{})
	a := r.get("/v1/openapi.json")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Parameters  []struct{ Name, In string }
			Responses   map[string]any
		}
	}
	if err := json.Unmarshal(a.body, &doc); err != nil || a.status != 200 || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%d %v", a.status, err)
	}
	var described []string
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, operation := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
			if operation.OperationID == "" || ids[operation.OperationID] || len(operation.Responses) == 0 {
				t.Errorf("%s %s: no operation id of its own, or no responses", method, path)
			}
			ids[operation.OperationID] = true
			for part := range strings.SplitSeq(path, "/") {
				name, variable := strings.CutPrefix(strings.TrimSuffix(part, "}"), "{")
				if variable && !slices.ContainsFunc(operation.Parameters, func(p struct{ Name, In string }) bool { return p.Name == name && p.In == "path" }) {
					t.Errorf("%s %s: the parameter %s is not described", method, path, name)
				}
			}
		}
	}
	var served []string
	for _, pattern := range r.server.Routes() {
		served = append(served, strings.TrimSuffix(pattern, "{$}"))
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described and served differ:\n%s\n%s", strings.Join(described, "\n"), strings.Join(served, "\n"))
	}
	var whole any
	_ = json.Unmarshal(a.body, &whole) // it was decoded above
	for _, ref := range references(whole) {
		at := whole
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			member, ok := at.(map[string]any)
			if !ok {
				break
			}
			at = member[part]
		}
		if at == nil {
			t.Errorf("%s is not in the document", ref)
		}
	}
}

// references lists every $ref below a value.
func references(v any) (refs []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if name == "$ref" {
				refs = append(refs, fmt.Sprint(member))
			}
			refs = append(refs, references(member)...)
		}
	case []any:
		for _, member := range v {
			refs = append(refs, references(member)...)
		}
	}
	return refs
}
