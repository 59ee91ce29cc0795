package configfile

import (
	"slices"

	"github.com/goccy/go-yaml/token"
)

// joinAddresses mends what the lexer does to {brokers: [localhost:9092]}: by
// YAML 1.2, 7.3.3, a colon with no space behind it is part of a plain text, but
// in a list within braces the lexer takes it for the end of a key.
func joinAddresses(tokens token.Tokens) token.Tokens {
	var open []token.Type
	out := tokens[:0]
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			open = append(open, t.Type)
		case token.MappingEndType, token.SequenceEndType:
			open = open[:max(len(open)-1, 0)]
		case token.MappingValueType:
			inList := len(open) > 0 && open[len(open)-1] == token.SequenceStartType
			if inList && slices.Contains(open, token.MappingStartType) && len(out) > 0 && plain(out[len(out)-1]) && follows(tokens, i) {
				host, port := out[len(out)-1], tokens[i+1]
				host.Type = token.StringType
				host.Value += ":" + port.Value
				host.Origin += ":" + port.Origin
				host.Next = port.Next
				if port.Next != nil {
					port.Next.Prev = host
				}
				i++
				continue
			}
		}
		out = append(out, t)
	}
	return out
}

// plain reports whether t is a scalar without quotes.
func plain(t *token.Token) bool {
	switch t.Type {
	case token.StringType, token.IntegerType, token.HexIntegerType, token.OctetIntegerType, token.BinaryIntegerType,
		token.FloatType, token.BoolType, token.NullType, token.InfinityType, token.NanType:
		return true
	}
	return false
}

func quoted(t *token.Token) bool {
	return t.Type == token.DoubleQuoteType || t.Type == token.SingleQuoteType
}

// follows reports whether a plain scalar begins right behind token i.
func follows(tokens token.Tokens, i int) bool {
	if i+1 >= len(tokens) || !plain(tokens[i+1]) {
		return false
	}
	a, b := tokens[i].Position, tokens[i+1].Position
	return a.Line == b.Line && a.Column+1 == b.Column
}
