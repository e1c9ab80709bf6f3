package probes

import (
	"fmt"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
)

// Bounds of an expression, far beyond what anybody writes. Parsing takes time that grows
// with the square of the operators, and evaluation walks down as deep as they nest: one of
// 10,000 terms took ten seconds of a processor.
const (
	maxExpression = 32 << 10 // bytes
	maxOperators  = 256
	maxNesting    = 64
	maxTokens     = 8192
)

// CheckExpression returns a [parser.ParseErr] when an expression is too long, has too many
// operators or nests too deep to be parsed. It reads no further than it must: a
// refusal takes less than a millisecond, however long the text is.
func CheckExpression(text string) error {
	refuse := func(at posrange.Pos, format string, args ...any) error {
		return &parser.ParseErr{PositionRange: posrange.PositionRange{Start: at, End: at + 1}, Err: fmt.Errorf(format, args...)}
	}
	if len(text) > maxExpression {
		return refuse(0, "the expression has %d bytes, more than %d", len(text), maxExpression)
	}
	lexer := parser.Lex(text)
	var item parser.Item
	operators, nesting, tokens := 0, 0, 0
	for {
		lexer.NextItem(&item)
		switch {
		case item.Typ == parser.EOF, item.Typ == parser.ERROR:
			return nil // what is wrong with it the parser says better
		case item.Typ.IsOperator():
			operators++
		case item.Typ == parser.LEFT_PAREN, item.Typ == parser.LEFT_BRACE, item.Typ == parser.LEFT_BRACKET:
			nesting++
		case item.Typ == parser.RIGHT_PAREN, item.Typ == parser.RIGHT_BRACE, item.Typ == parser.RIGHT_BRACKET:
			nesting--
		}
		tokens++
		switch {
		case operators > maxOperators:
			return refuse(item.Pos, "the expression has more than %d operators", maxOperators)
		case nesting > maxNesting:
			return refuse(item.Pos, "the expression nests deeper than %d", maxNesting)
		case tokens > maxTokens:
			return refuse(item.Pos, "the expression has more than %d parts", maxTokens)
		}
	}
}

// ParseExpr parses an expression within the bounds of [CheckExpression]. All that comes from
// outside passes it.
func ParseExpr(text string) (parser.Expr, error) {
	if err := CheckExpression(text); err != nil {
		return nil, err
	}
	return parser.NewParser(parser.Options{}).ParseExpr(text)
}
