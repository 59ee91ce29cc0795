package main

import (
	"slices"
	"strings"
)

const schemaRef = "#/components/schemas/"

// What a schema may say beside its type: it is for people, or narrows values and not
// their type.
var besideTypes = []string{
	"title", "description", "default", "deprecated", "examples", "example", "readOnly", "writeOnly", "format", "contentEncoding", "contentMediaType",
	"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
	"minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
}

// typeOf is a schema's type. name is of the member that it is the schema of, which says
// the unit, and indent that of the line that the type begins in.
func (g *generator) typeOf(schema node, name, indent string) string {
	switch schema.value {
	case true:
		return "unknown"
	case nil, false:
		schema.fault("there is no type")
		return "never"
	}
	kinds := slices.DeleteFunc([]string{"$ref", "enum", "const", "oneOf", "anyOf", "allOf"}, func(k string) bool { return !schema.has(k) })
	if len(kinds) > 1 || len(kinds) == 1 && (schema.has("properties") || schema.has("items") || schema.has("additionalProperties")) {
		schema.fault("the client can't express %s beside more of a type", kinds[0])
		return "never"
	}
	if len(kinds) == 0 {
		return g.plainType(schema, name, indent)
	}
	schema.only(append([]string{kinds[0], "type"}, besideTypes...)...)
	of := schema.to(kinds[0])
	switch kinds[0] {
	case "$ref":
		return g.reference(of)
	case "const":
		return of.literal()
	case "enum":
		var values []string
		for _, value := range of.items() {
			values = append(values, value.literal())
		}
		return union(of, values)
	}
	if schema.has("type") {
		schema.to("type").fault("the client can't express a type beside %s", kinds[0])
	}
	var types []string
	for _, one := range of.items() {
		types = append(types, grouped(g.typeOf(one, name, indent)))
	}
	if kinds[0] == "allOf" {
		if len(types) == 0 {
			of.fault("this is empty")
		}
		return strings.Join(types, " & ")
	}
	return union(of, types)
}

func (g *generator) reference(to node) string {
	name, ok := strings.CutPrefix(to.text(), schemaRef)
	if !ok || !g.schemas.has(name) {
		to.fault("%q is no schema of this description", to.text())
		return "never"
	}
	return name
}

// plainType is that of a schema that says it by type.
func (g *generator) plainType(schema node, name, indent string) string {
	schema.only(append([]string{"type", "properties", "required", "additionalProperties", "items"}, besideTypes...)...)
	at := schema.to("type")
	names := []node{at}
	if _, ok := at.value.([]any); ok {
		names = at.items()
	} else if !at.is() {
		if schema.has("properties") || schema.has("items") || schema.has("additionalProperties") || schema.has("required") {
			schema.fault("this has no type")
		}
		return "unknown"
	}
	var types []string
	for _, of := range names {
		switch of.text() {
		case "string", "boolean", "null":
			types = append(types, of.text())
		case "integer", "number":
			types = append(types, g.number(schema, name))
		case "array":
			items := "unknown"
			if schema.has("items") {
				items = g.typeOf(schema.to("items"), name, indent)
			}
			types = append(types, grouped(items)+"[]")
		case "object":
			types = append(types, g.objectType(schema, indent))
		default:
			of.fault("%s is no type", quote(of.value))
		}
	}
	return union(at, types)
}

// number is a number's type, an alias where there is something to know of it.
func (g *generator) number(schema node, name string) string {
	switch format := schema.to("format").text(); {
	case strings.HasSuffix(name, "_us"):
		return "Micros"
	case format == "int64" || format == "uint64":
		return "Int64"
	}
	return "number"
}

func (g *generator) objectType(schema node, indent string) string {
	properties, more := schema.to("properties"), schema.to("additionalProperties")
	if len(properties.members()) == 0 {
		switch more.value {
		case nil, true:
			return "Record<string, unknown>"
		case false:
			return "Record<string, never>"
		}
		return "Record<string, " + g.typeOf(more, "", indent) + ">"
	}
	required := map[string]bool{}
	for _, name := range schema.to("required").items() {
		if !properties.has(name.text()) {
			name.fault("%q is no property", name.text())
		}
		required[name.text()] = true
	}
	var out strings.Builder
	out.WriteString("{\n")
	for _, name := range properties.members() {
		property := properties.to(name)
		mark := "?: "
		if required[name] {
			mark = ": "
		}
		of := g.typeOf(property, name, indent+"  ")
		out.WriteString(comment(indent+"  ", describe(property)...) + indent + "  " + key(name) + mark + of + ";\n")
	}
	switch more.value {
	case nil, false:
	case true:
		out.WriteString(indent + "  [name: string]: unknown;\n")
	default:
		more.fault("the client can't express properties of one type beside others")
	}
	return out.String() + indent + "}"
}

// describe is what a schema or parameter says for people.
func describe(of node) []string {
	if _, ok := of.value.(map[string]any); !ok {
		return nil
	}
	out := []string{of.to("description").text()}
	for _, schema := range []node{of, of.to("schema")} {
		if schema.is() && schema.has("default") {
			out = append(out, "@defaultValue "+quote(schema.to("default").value))
		}
	}
	if of.to("deprecated").truth(false) {
		out = append(out, "@deprecated")
	}
	return out
}

// union is one of types, each of which is said once.
func union(of node, types []string) string {
	if len(types) == 0 {
		of.fault("this allows nothing")
		return "never"
	}
	var out []string
	for _, t := range types {
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return strings.Join(out, " | ")
}

// grouped is a type as part of another one.
func grouped(t string) string {
	if strings.Contains(t, " | ") || strings.Contains(t, " & ") {
		return "(" + t + ")"
	}
	return t
}
