package probes

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// monsters are expressions that took seconds to parse or to walk through.
func monsters() map[string]string {
	const many = 10_000
	return map[string]string{
		"terms":              "up" + strings.Repeat("+up", many),
		"terms apart":        "up" + strings.Repeat(" + up", many),
		"or":                 "up" + strings.Repeat(" or up", many),
		"comparisons":        "up" + strings.Repeat(" > bool up", many),
		"powers":             "2" + strings.Repeat("^2", many),
		"parentheses":        strings.Repeat("(", many) + "up" + strings.Repeat(")", many),
		"open parentheses":   strings.Repeat("(", many),
		"calls":              strings.Repeat("abs(", many) + "up" + strings.Repeat(")", many),
		"sums":               strings.Repeat("sum(", many) + "up" + strings.Repeat(")", many),
		"signs":              strings.Repeat("-", many) + "up",
		"subqueries":         "up" + strings.Repeat("[5m:1m]", many),
		"matchers":           "up{" + strings.Repeat(`a="b",`, many) + "}",
		"arguments":          `label_join(up, "a", "b"` + strings.Repeat(`, "c"`, many) + ")",
		"grouping":           "sum by (" + strings.Repeat("a,", many) + "a) (up)",
		"a megabyte":         `up{a="` + strings.Repeat("a", 1<<20) + `"}`,
		"a megabyte of sums": strings.Repeat("sum(", 250_000),
	}
}

// An expression of 10,000 terms burnt ten seconds. It is refused before it is parsed, as a
// mistake in it, wherever expressions come in.
func TestMonstrousExpressionsAreRefusedAtOnce(t *testing.T) {
	h, _, _ := open(t, t.TempDir())
	for name, text := range monsters() {
		t.Run(name, func(t *testing.T) {
			for where, parse := range map[string]func() error{
				"the check":   func() error { return CheckExpression(text) },
				"ParseExpr":   func() error { _, err := ParseExpr(text); return err },
				"the history": func() error { _, err := h.parser.ParseExpr(text); return err },
				"a query":     func() error { _, err := h.Instant(context.Background(), text, time.Now()); return err },
				"Sides":       func() error { _, _, err := Sides(text); return err },
				"Rewrite":     func() error { _, err := Rewrite(text, nil, time.Second); return err },
			} {
				began := time.Now()
				err := parse()
				var mistake *parser.ParseErr
				if err == nil || where != "Sides" && where != "a query" && !errors.As(err, &mistake) {
					t.Errorf("%s: %v", where, err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("%s took %s", where, took)
				}
			}
		})
	}
}

// What people write, and what the node itself asks, is within the bounds.
func TestUsefulExpressionsAreWithinTheBounds(t *testing.T) {
	for _, text := range append(expressions(),
		"up"+strings.Repeat(" + up", 200), strings.Repeat("(", 50)+"up"+strings.Repeat(")", 50),
		`up{a=~"`+strings.Repeat("10.0.0.1|", 3000)+`"}`) {
		if _, err := ParseExpr(text); err != nil {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}

// What the longest expression that is let through costs.
func BenchmarkLongestExpression(b *testing.B) {
	text := "up" + strings.Repeat(` + up{a="b"}`, maxOperators/2)
	if _, err := ParseExpr(text); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		e, err := ParseExpr(text)
		if err != nil {
			b.Fatal(err)
		}
		_ = e.String()
	}
}
