package probes

import (
	"slices"
	"sync"

	"github.com/prometheus/prometheus/promql/parser"
)

const (
	// maxParsed bounds the expressions that are kept: rules and panels are some two
	// hundred.
	maxParsed = 1024
	// maxParsedText bounds each, in bytes.
	maxParsedText = 4 << 10
)

// parsed keeps what expressions were parsed to: the same rules and panels are evaluated
// again and again, and a third of what one costs is to parse it. An evaluation writes
// into its expression, so each gets a copy. It may be used from any goroutine; the zero
// value is ready.
type parsed struct {
	mu   sync.Mutex
	kept map[string]parser.Expr
}

// get returns a copy of what text was parsed to, nil if that is not kept.
func (p *parsed) get(text string) parser.Expr {
	p.mu.Lock()
	expr := p.kept[text]
	p.mu.Unlock()
	if expr == nil {
		return nil
	}
	return copied(expr)
}

// keep takes a copy of expr, unless it has a part that this package does not know.
func (p *parsed) keep(text string, expr parser.Expr) {
	if len(text) > maxParsedText {
		return
	}
	if expr = copied(expr); expr == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept == nil || len(p.kept) >= maxParsed {
		p.kept = map[string]parser.Expr{} // what is evaluated again is soon back
	}
	p.kept[text] = expr
}

// copied returns a copy that shares nothing with expr that an evaluation writes to, nil
// if expr has a part that is not known. A kept one is only read.
func copied(expr parser.Expr) parser.Expr {
	known := true
	sub := func(e parser.Expr) parser.Expr {
		if e == nil {
			return nil
		}
		c := copied(e)
		known = known && c != nil
		return c
	}
	var out parser.Expr
	switch e := expr.(type) {
	case *parser.AggregateExpr:
		c := *e
		c.Expr, c.Param, c.Grouping = sub(e.Expr), sub(e.Param), slices.Clone(e.Grouping)
		out = &c
	case *parser.BinaryExpr:
		c := *e
		c.LHS, c.RHS = sub(e.LHS), sub(e.RHS)
		if e.VectorMatching != nil {
			m := *e.VectorMatching
			m.MatchingLabels, m.Include = slices.Clone(m.MatchingLabels), slices.Clone(m.Include)
			c.VectorMatching = &m
		}
		out = &c
	case *parser.Call:
		c := *e
		c.Args = make(parser.Expressions, len(e.Args))
		for i, a := range e.Args {
			c.Args[i] = sub(a)
		}
		out = &c
	case *parser.MatrixSelector:
		c := *e
		c.VectorSelector = sub(e.VectorSelector)
		known = known && e.RangeExpr == nil
		out = &c
	case *parser.SubqueryExpr:
		c := *e
		c.Expr = sub(e.Expr)
		known = known && e.RangeExpr == nil && e.OriginalOffsetExpr == nil && e.StepExpr == nil
		out = &c
	case *parser.NumberLiteral:
		c := *e
		out = &c
	case *parser.StringLiteral:
		c := *e
		out = &c
	case *parser.ParenExpr:
		c := *e
		c.Expr = sub(e.Expr)
		out = &c
	case *parser.UnaryExpr:
		c := *e
		c.Expr = sub(e.Expr)
		out = &c
	case *parser.VectorSelector:
		c := *e
		c.LabelMatchers = slices.Clone(e.LabelMatchers)
		known = known && e.OriginalOffsetExpr == nil
		out = &c
	}
	if !known {
		return nil
	}
	return out
}
