package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// Bounds of one expression, so that its cost is bounded too: it has no loops.
const (
	maxExpression = 2000 // bytes
	maxNodes      = 500
)

// fault is what is wrong with an expression.
type fault struct {
	column  int // of the offending text, in characters from 1; 0 if unknown
	message string
	missing bool // the target lacks a signal or a fact: it may not be meant
	near    bool // the message has a name that may have been meant
}

func (f *fault) Error() string { return f.message }

func faultAt(n ast.Node, format string, args ...any) *fault {
	return &fault{column: column(n), message: fmt.Sprintf(format, args...)}
}

// column is where the text of n begins.
func column(n ast.Node) int {
	switch n := n.(type) {
	case nil:
		return 0
	case *ast.MemberNode:
		return column(n.Node)
	case *ast.BinaryNode:
		return column(n.Left)
	case *ast.ChainNode:
		return column(n.Node)
	case *ast.SequenceNode:
		return column(n.Nodes[0])
	}
	return n.Location().From + 1
}

func parseExpression(source string) (ast.Node, *fault) {
	if strings.TrimSpace(source) == "" {
		return nil, &fault{message: "the expression is empty, expected a condition such as TotW > 0"}
	}
	if len(source) > maxExpression {
		return nil, &fault{message: fmt.Sprintf("the expression is %d bytes long, expected at most %d", len(source), maxExpression)}
	}
	tree, err := parser.ParseWithConfig(source, &conf.Config{MaxNodes: maxNodes, DisableIfOperator: true})
	if err != nil {
		f := &fault{message: err.Error()}
		if at := (*file.Error)(nil); errors.As(err, &at) {
			f.column, f.message = at.From+1, at.Message
		}
		return nil, f
	}
	return tree.Node, nil
}

// dotted is the name that n spells: TotW, PhV.phsA.
func dotted(n ast.Node) (name string, ok bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, true
	case *ast.MemberNode:
		of, ok := dotted(n.Node)
		property, text := n.Property.(*ast.StringNode)
		if ok && text && !n.Optional && !n.Method {
			return of + "." + property.Value, true
		}
	}
	return "", false
}

// call is the name and arguments of a function call.
func call(n ast.Node) (name string, arguments []ast.Node, ok bool) {
	switch n := n.(type) {
	case *ast.BuiltinNode:
		return n.Name, n.Arguments, true
	case *ast.CallNode:
		name, ok := dotted(n.Callee)
		return name, n.Arguments, ok
	}
	return "", nil, false
}

// unsupported names what n is, for nodes that the language doesn't have.
func unsupported(n ast.Node) *fault {
	var what string
	switch n := n.(type) {
	case *ast.StringNode, *ast.BytesNode:
		what = "text"
	case *ast.BoolNode:
		what = "a literal true or false"
	case *ast.NilNode:
		what = "nil"
	case *ast.ConditionalNode:
		what = "a choice by ? :"
	case *ast.ArrayNode:
		what = "a list"
	case *ast.MapNode:
		what = "a map"
	case *ast.SliceNode, *ast.MemberNode:
		what = "an index"
	case *ast.ChainNode:
		what = "the operator ?."
	case *ast.SequenceNode:
		what = "a sequence by ;"
	case *ast.VariableDeclaratorNode:
		what = "a variable by let"
	case *ast.PredicateNode, *ast.PointerNode:
		what = "a closure"
	case *ast.UnaryNode:
		what = "the operator " + n.Operator
	case *ast.BinaryNode:
		what = "the operator " + n.Operator
	default:
		what = "this"
	}
	return faultAt(n, "%s isn't supported in a rule", what)
}
