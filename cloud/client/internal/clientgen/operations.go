package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// parameter is one of an operation's.
type parameter struct {
	node
	name, in string
	required bool
}

var separators = regexp.MustCompile(`[^A-Za-z0-9]+`)

// camel is an operation's id as a function's name.
func camel(id string) string {
	words := separators.Split(id, -1)
	for i, word := range words {
		if i > 0 && word != "" {
			words[i] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}

func (g *generator) operation(op node, method, path string) {
	op.only("operationId", "summary", "description", "tags", "parameters", "requestBody", "responses", "security", "deprecated", "externalDocs")
	name := camel(op.to("operationId").text())
	g.declare(op.to("operationId"), name)
	upper := name
	if name != "" {
		upper = strings.ToUpper(name[:1]) + name[1:]
	}
	signature := []string{"server: Server"}
	parameters := g.parameters(op)
	if len(parameters) > 0 {
		g.declare(op.to("operationId"), upper+"Params")
		g.writeParams(parameters, upper+"Params")
		signature = append(signature, "params: "+upper+"Params")
	}
	body := g.requestBody(op.to("requestBody"))
	if body.of != "" {
		signature = append(signature, "body: "+body.of)
	}
	answer := g.answer(op, upper)
	url := "`" + g.path(op, path, parameters) + g.picked("${query(params, %s)}", parameters, "query") + "`"
	about := append(describe(op), method+" "+path)
	if paged(parameters) {
		about = append(about, fmt.Sprintf("One page of the list; pages(%s, …) turns them all.", name))
	}
	g.out.WriteString("\n" + comment("", append([]string{op.to("summary").text()}, about...)...))
	if answer.redirect {
		if body.of != "" || g.picked("%s", parameters, "header") != "" {
			op.fault("a browser goes there without a body or headers")
		}
		fmt.Fprintf(&g.out, "export function %s(%s): string {\n  return %s;\n}\n", name, strings.Join(signature, ", "),
			`(server.url ?? "").replace(/\/+$/, "") + `+url)
		return
	}
	signature = append(signature, "options?: Options")
	var content []string
	headers := g.picked("...given(params, [%s])", parameters, "header")
	if body.media != "" {
		headers = strings.TrimPrefix(headers+", "+`"Content-Type": `+quote(body.media), ", ")
	}
	if headers != "" {
		content = append(content, "headers: { "+headers+" }")
	}
	if body.of != "" {
		content = append(content, "body: "+body.send)
	}
	last := ""
	if content != nil {
		last = ", { " + strings.Join(content, ", ") + " }"
	}
	asked := fmt.Sprintf("await ask(server, %q, %s, options%s)", method, url, last)
	fmt.Fprintf(&g.out, "export async function %s(%s): Promise<%s> {\n  %s%s%s;\n}\n",
		name, strings.Join(signature, ", "), answer.of, answer.before, asked, answer.after)
}

func paged(parameters []parameter) bool {
	return slices.ContainsFunc(parameters, func(p parameter) bool { return p.in == "query" && p.name == "cursor" })
}

// parameters are those that a script gives; cookies are the browser's own.
func (g *generator) parameters(op node) (out []parameter) {
	for _, p := range op.to("parameters").items() {
		p.only("name", "in", "description", "required", "schema", "explode", "style", "deprecated", "example", "examples")
		of := parameter{p, p.to("name").text(), p.to("in").text(), p.to("required").truth(false)}
		if slices.ContainsFunc(out, func(o parameter) bool { return o.name == of.name }) {
			p.fault("another parameter is called %q", of.name)
		}
		style := map[string]string{"path": "simple", "query": "form", "header": "simple", "cookie": "form"}[of.in]
		if style == "" {
			p.to("in").fault("%q is no place for a parameter", of.in)
		} else if p.has("style") && p.to("style").text() != style {
			p.to("style").fault("the client can't write %q here", p.to("style").text())
		}
		if of.in != "cookie" {
			out = append(out, of)
		}
	}
	return out
}

func (g *generator) writeParams(parameters []parameter, name string) {
	fmt.Fprintf(&g.out, "\nexport interface %s {\n", name)
	for _, p := range parameters {
		of := g.typeOf(p.to("schema"), p.name, "  ")
		if listed(p.to("schema")) && p.to("explode").truth(p.in == "query") {
			p.fault("the client can't repeat a parameter: explode has to be false")
		}
		if strings.ContainsAny(of, "{<") {
			p.to("schema").fault("a parameter is a text, a number, a boolean or a list of them")
		}
		mark := ": " + of
		if !p.required && p.in != "path" {
			mark = "?: " + of + " | undefined"
		}
		fmt.Fprintf(&g.out, "%s  %s%s;\n", comment("  ", describe(p.node)...), key(p.name), mark)
	}
	g.out.WriteString("}\n")
}

func listed(schema node) bool {
	if list, ok := schema.to("type").value.([]any); ok {
		return slices.Contains(list, any("array"))
	}
	return schema.to("type").value == "array"
}

// picked names the parameters in one place, in a form; empty: there are none.
func (g *generator) picked(form string, parameters []parameter, in string) string {
	var names []string
	for _, p := range parameters {
		if p.in == in {
			names = append(names, quote(p.name))
		}
	}
	if names == nil {
		return ""
	}
	return fmt.Sprintf(form, strings.Join(names, ", "))
}

// member is how a member of that name is read.
func member(name string) string {
	if plain.MatchString(name) {
		return "." + name
	}
	return "[" + quote(name) + "]"
}

var inPath = regexp.MustCompile(`\{([^{}]*)\}`)

// path is a path with its parameters filled in, as part of a template.
func (g *generator) path(op node, path string, parameters []parameter) string {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(inPath.ReplaceAllString(path, ""), "{}`$\\?#\n\r") {
		op.fault("the client can't write the path %q", path)
		return ""
	}
	named := map[string]bool{}
	out := inPath.ReplaceAllStringFunc(path, func(at string) string {
		name := strings.Trim(at, "{}")
		named[name] = true
		return "${part(params" + member(name) + ")}"
	})
	for _, p := range parameters {
		if p.in == "path" && !named[p.name] {
			p.fault("%q isn't in the path", p.name)
		}
		delete(named, p.name)
	}
	for name := range named {
		op.fault("the path's %q is no parameter", name)
	}
	return out
}

// content is what a question says or an answer holds, by its only media type.
func (g *generator) content(of node) (media string, schema node) {
	content := of.to("content")
	types := content.members()
	if len(types) == 0 {
		return "", node{}
	}
	if len(types) > 1 {
		content.fault("the client can't choose between %s", strings.Join(types, " and "))
	}
	content.to(types[0]).only("schema", "example", "examples")
	return types[0], content.to(types[0]).to("schema")
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

type requestBody struct {
	of    string // its type; empty: there is none
	media string
	send  string // how it is made of body
}

func (g *generator) requestBody(of node) requestBody {
	of.only("content", "required", "description")
	media, schema := g.content(of)
	body := requestBody{"BodyInit", media, "body"}
	switch {
	case media == "":
		return requestBody{}
	case isJSON(media):
		body.of, body.send = g.typeOf(schema, "", ""), "JSON.stringify(body)"
	}
	if !of.to("required").truth(false) {
		body.of += " | undefined"
	}
	return body
}

type answer struct {
	of            string // what it resolves to
	before, after string // what makes it of the answer to what is asked, around that
	redirect      bool   // a browser is to go there, so it is an address
}

// answer is what an operation's answers come to, and checks how it refuses.
func (g *generator) answer(op node, name string) answer {
	responses := op.to("responses")
	responses.object()
	var good []answer
	redirect := false
	for _, status := range responses.members() {
		response := responses.to(status)
		response.only("description", "headers", "content")
		switch status[:min(1, len(status))] {
		case "2":
			good = append(good, g.success(response, name))
		case "3":
			redirect = true
		case "4", "5", "d":
			g.refusal(response)
		default:
			response.fault("%q is no status", status)
		}
	}
	if len(good) == 0 {
		if !redirect {
			responses.fault("there is no answer of success")
		}
		return answer{redirect: true}
	}
	for _, other := range good[1:] {
		if other.of != good[0].of {
			responses.fault("the client can't tell apart answers of success")
		}
	}
	return good[0]
}

func (g *generator) success(response node, name string) answer {
	media, schema := g.content(response)
	switch {
	case media == "":
		return answer{of: "void"}
	case media == "text/event-stream":
		return g.events(schema, name+"Event")
	case isJSON(media):
		of := g.typeOf(schema, "", "")
		return answer{of: of, before: "return answered<" + of + ">(", after: ")"}
	}
	return answer{of: "Response", before: "return "}
}

// events declares what a stream brings: a list of events, each of which says its name,
// and what its data is in JSON.
func (g *generator) events(schema node, name string) answer {
	schema.only("title", "description", "type", "items")
	items := schema.to("items")
	one := items.to("oneOf")
	items.only("oneOf")
	if schema.to("type").value != "array" || len(one.items()) == 0 {
		schema.fault("a stream is a list of events, each one of them")
	}
	var names []string
	for _, event := range one.items() {
		properties := event.to("properties")
		properties.only("event", "id", "data")
		named := properties.to("event")
		named.only("type", "const", "description")
		names = append(names, quote(named.to("const").text()))
		if id := properties.to("id"); id.is() && id.to("type").value != "integer" {
			id.fault("the client can resume from integers only")
		}
		for _, needed := range []string{"event", "data"} {
			if !slices.ContainsFunc(event.to("required").items(), func(n node) bool { return n.value == needed }) {
				event.fault("%s isn't required", needed)
			}
		}
	}
	g.declare(schema, name)
	g.out.WriteString("\n" + comment("", describe(schema)...))
	fmt.Fprintf(&g.out, "export type %s = %s;\n", name, g.typeOf(items, "", ""))
	return answer{of: "Events<" + name + ">", before: "return new Events<" + name + ">(", after: ", [" + strings.Join(names, ", ") + "])"}
}

// refusal checks that a client knows how to read one.
func (g *generator) refusal(response node) {
	media, schema := g.content(response)
	switch media {
	case "", "text/plain":
	case "application/problem+json":
		switch of := g.typeOf(schema, "", ""); {
		case !plain.MatchString(of):
			schema.fault("this has no name")
		case g.problem == "":
			g.problem = of
		case g.problem != of:
			schema.fault("the client knows one kind of refusals, %s", g.problem)
		}
	default:
		response.fault("the client can't read refusals in %s", media)
	}
}
