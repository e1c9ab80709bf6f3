package probes

import (
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxSubquerySteps bounds how often a subquery is evaluated. The engine makes room
// for every step before it evaluates the first, so that max_over_time(up[100y:1ms])
// would end the process for want of memory.
const maxSubquerySteps = 1_000_000

// subqueryStep is that of a subquery which names none.
const subqueryStep = time.Second

// CheckSubqueries returns a [parser.ParseErr] when a subquery of an expression that
// is evaluated over a span of time, 0 for one moment, has too many steps. text is what
// expr was parsed from.
func CheckSubqueries(text string, expr parser.Expr, over time.Duration) error {
	return parser.Walk(subqueries{text, over}, expr, nil)
}

// subqueries walks down with the span that what is below is evaluated over.
type subqueries struct {
	text string
	over time.Duration
}

func (s subqueries) Visit(node parser.Node, _ []parser.Node) (parser.Visitor, error) {
	q, ok := node.(*parser.SubqueryExpr)
	if !ok {
		return s, nil
	}
	step := q.Step
	if step <= 0 {
		step = subqueryStep
	}
	// Added as shares: the sum of two spans of centuries overflows.
	steps := float64(s.over)/float64(step) + float64(q.Range)/float64(step)
	if steps > maxSubquerySteps {
		return nil, &parser.ParseErr{PositionRange: q.PositionRange(), Query: s.text,
			Err: fmt.Errorf("the subquery has %.0f steps, more than %d: make its step larger or its range shorter", steps, maxSubquerySteps)}
	}
	return subqueries{s.text, time.Duration(steps * float64(step))}, nil
}

// boundedParser refuses expressions that would take more memory than there is. All
// that is evaluated over the history passes it.
type boundedParser struct {
	parser.Parser
	parsed *parsed
}

func (p boundedParser) ParseExpr(text string) (parser.Expr, error) {
	if expr := p.parsed.get(text); expr != nil {
		return expr, nil
	}
	if err := CheckExpression(text); err != nil {
		return nil, err
	}
	expr, err := p.Parser.ParseExpr(text)
	if err != nil {
		return nil, err
	}
	if err := CheckSubqueries(text, expr, 0); err != nil {
		return nil, err
	}
	p.parsed.keep(text, expr)
	return expr, nil
}

func (p boundedParser) ParseMetricSelector(text string) ([]*labels.Matcher, error) {
	if err := CheckExpression(text); err != nil {
		return nil, err
	}
	return p.Parser.ParseMetricSelector(text)
}

func (p boundedParser) ParseMetricSelectors(texts []string) ([][]*labels.Matcher, error) {
	for _, text := range texts {
		if err := CheckExpression(text); err != nil {
			return nil, err
		}
	}
	return p.Parser.ParseMetricSelectors(texts)
}
