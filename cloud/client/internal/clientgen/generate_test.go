package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/busbar/busbar/test/peer"
	"github.com/busbar/busbar/test/typescript"
)

func TestClientIsCurrent(t *testing.T) {
	description, err := os.ReadFile(filepath.Join(peer.Root(), "docs", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := generate(description)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(peer.Root(), "cloud", "client", "typescript", "client.ts"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("client.ts isn't what docs/openapi.json makes; run: go generate ./cloud/client/...")
	}
}

// plant answers as every describes, and says in what it answers what it was asked.
func plant(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /lamps", func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); q.Get("cursor") {
		case "":
			fmt.Fprintf(w, `{"lamps": [%q, %q, %q], "next": "2 & 3"}`, r.Header.Get("Authorization"), r.Header.Get("X-Place"), q.Get("colours"))
		case "2 & 3":
			fmt.Fprintf(w, `{"lamps": [%q], "next": null}`, q.Get("colours"))
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(429)
			io.WriteString(w, `{"title": "T", "detail": "D", "errors": [{"location": "L", "message": "M"}, {"message": "N"}]}`)
		}
	})
	mux.HandleFunc("GET /table", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "the store is gone", 500) })
	mux.HandleFunc("POST /lamps", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(415)
			return
		}
		w.WriteHeader(201)
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("PUT /lamps/{id}/parts/{part}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if got := fmt.Sprint(r.PathValue("id"), r.PathValue("part"), r.Header.Get("Content-Type"), string(body), err); got != "a/ä?2text/csv1;2<nil>" {
			t.Error(got)
		}
		w.WriteHeader(204)
	})
	// Each connection breaks off in another way.
	connections := []string{
		": hello\r\n\r\nretry: 1\r\nid: 3\r\n\r", // ends between CR and LF, before any event
		"\xef\xbb\xbfevent:lit\ndata:\"red\"\nid:4\n\nevent: unknown\ndata: {\n\ndata: nameless\n\nevent: dark\ndata: [1,\ndata: 2]\n\nevent: lit\nid: 9\ndata: cut",
		"503",
		"event: lit\r\nid: 5\r\ndata: \"green\"\r\n\r\nevent: lit\r\nid: 6\r\ndata: \"red\"\r\n\r\n",
	}
	var resumed []string
	mux.HandleFunc("GET /news", func(w http.ResponseWriter, r *http.Request) {
		after := r.Header.Get("Last-Event-ID")
		if after == "99" {
			http.Error(w, "99 is no sequence number", 400)
			return
		}
		if len(resumed) == len(connections) {
			t.Error("came again after it had enough")
			return
		}
		resumed = append(resumed, after)
		text := connections[len(resumed)-1]
		if text == "503" {
			w.WriteHeader(503)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for piece := range slices.Chunk([]byte(text), 7) {
			w.Write(piece)
			w.(http.Flusher).Flush()
		}
	})
	t.Cleanup(func() {
		// The events behind what was cut off haven't been seen, so their number isn't either.
		if got := strings.Join(resumed, " "); got != " 3 4 4" && !t.Failed() {
			t.Errorf("resumed from %q", got)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// What a client declares is what the description says, and what it asks is what the
// server is to be asked.
func TestClientOfEverything(t *testing.T) {
	client, err := generate([]byte(every))
	if err != nil {
		t.Fatal(err)
	}
	dir, complaints := typescript.Project(t, string(client), map[string]string{"uses.ts": uses})
	if complaints != "" {
		t.Fatal(complaints)
	}
	out, err := typescript.Node(t, dir, "uses.js", plant(t).URL).CombinedOutput()
	const want = `["page",["Bearer secret","hall","red,green"]]
["page",["red,green"]]
[[429,"D; L: M; N",3,"T"]]
[[500,"the store is gone",null,null]]
["a/ä"]
["nothing"]
["RangeError: \"..\" can't be part of a path"]
["enter?to=a+b"]
[4,"red"]
[1,false]
[5,"green"]
["Error: enough"]
[[400,"99 is no sequence number",null,null]]
`
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
}

// What the client can't express is never left out.
func TestFaultsNameTheirPlace(t *testing.T) {
	const lamp = "#/components/schemas/Lamp/properties/"
	for _, tt := range []struct{ old, new, want string }{
		{`"3.1.0"`, `"3.0.3"`, `#/openapi: "3.0.3" isn't a version of OpenAPI 3.1`},
		{`"on": {"type": "boolean"}`, `"on": {"type": "boolean", "not": {}}`, lamp + `on/not: the client can't express this`},
		{`"on": {"type": "boolean"}`, `"on": {"type": "truth"}`, lamp + `on/type: "truth" is no type`},
		{`"on": {"type": "boolean"}`, `"on": {"properties": {}}`, lamp + `on: this has no type`},
		{`"on": {"type": "boolean"}`, `"on": false`, lamp + `on: there is no type`},
		{`"on": {"type": "boolean"}`, `"on": {"enum": [{}]}`, lamp + `on/enum/0: this isn't a text`},
		{`"on": {"type": "boolean"}`, `"on": {"enum": []}`, lamp + `on/enum: this allows nothing`},
		{`"on": {"type": "boolean"}`, `"on": {"$ref": "#/components/schemas/Fault", "enum": [1]}`, lamp + `on: the client can't express $ref beside`},
		{`"on": {"type": "boolean"}`, `"on": {"$ref": "#/components/schemas/Gone"}`, lamp + `on/$ref: "#/components/schemas/Gone" is no schema`},
		{`"on": {"type": "boolean"}`, `"on": {"type": "array", "items": {"type": "array", "prefixItems": []}}`, lamp + `on/items/prefixItems: the client can't express this`},
		{`"on": {"type": "boolean"}`, `"on": {"type": "object", "properties": {"a": {}}, "additionalProperties": {}}`, lamp + `on/additionalProperties: the client can't`},
		{`"Colour"`, `"Server"`, `#/components/schemas/Server: "Server" is the name of something else`},
		{`"scheme": "bearer"`, `"scheme": "basic"`, `#/components/securitySchemes/token: the client shows tokens`},
		{`"operationId": "table"`, `"operationId": "list_lamps"`, `#/paths/~1table/get/operationId: "listLamps" is the name of something else`},
		{`"operationId": "table"`, `"operationId": "delete"`, `#/paths/~1table/get/operationId: "delete" is the name of something else`},
		{`"operationId": "table"`, `"operationId": "7"`, `#/paths/~1table/get/operationId: "7" is no name`},
		{`"/table": {"get"`, `"/table": {"trace"`, `#/paths/~1table/trace: the client can't express this`},
		{`"/table"`, `"/table/{of}"`, `#/paths/~1table~1{of}/get: the path's "of" is no parameter`},
		{`"/table"`, "\"/ta`ble\"", "#/paths/~1ta`ble/get: the client can't write the path"},
		{`{"name": "id", "in": "path", "required": true`, `{"name": "number", "in": "path", "required": true`, `#/paths/~1lamps~1{id}~1parts~1{part}/put/parameters/0: "number" isn't in the path`},
		{`"explode": false,`, ``, `#/paths/~1lamps/get/parameters/0: the client can't repeat`},
		{`"explode": false,`, `"explode": false, "style": "pipeDelimited",`, `#/paths/~1lamps/get/parameters/0/style: the client can't write`},
		{`"name": "cursor", "in": "query", "schema": {"type": "string"}`, `"name": "cursor", "in": "query", "schema": {"type": "object"}`, `parameters/1/schema: a parameter is a text`},
		{`"name": "cursor", "in": "query"`, `"name": "colours", "in": "query"`, `parameters/1: another parameter is called "colours"`},
		{`"200": {"content": {"text/csv"`, `"200": {"content": {"text/plain": {}, "text/csv"`, `responses/200/content: the client can't choose`},
		{`"500": {"content": {"text/plain"`, `"500": {"content": {"text/html"`, `responses/500: the client can't read refusals in text/html`},
		{`"500": {"content": {"text/plain": {"schema": {"type": "string"}}}}`, `"404": {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Lamp"}}}}`, `schema: the client knows one kind`},
		{`"204": {}`, `"404": {}`, `put/responses: there is no answer of success`},
		{`"204": {}`, `"204": {}, "200": {"content": {"application/json": {"schema": {}}}}`, `put/responses: the client can't tell apart`},
		{`"id": {"type": "integer"}, "data": {"$ref"`, `"id": {"type": "string"}, "data": {"$ref"`, `properties/id: the client can resume from integers`},
		{`"required": ["event", "data"], `, ``, `items/oneOf/1: event isn't required`},
		{`{"type": "array", "items": {"oneOf": [`, `{"type": "string", "items": {"oneOf": [`, `schema: a stream is a list of events`},
		{`"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Fault"}}}`, ``, `#: no operation answers with application/problem+json`},
		{`"paths": {`, `"webhooks": {}, "paths": {`, `#/webhooks: the client can't express this`},
	} {
		description := strings.Replace(every, tt.old, tt.new, 1)
		if description == every {
			t.Fatalf("%s is nowhere", tt.old)
		}
		if _, err := generate([]byte(description)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v\nwant %s", tt.new, err, tt.want)
		}
	}
}

// Whatever the description, what comes of it is TypeScript, the same each time. It takes
// -fuzzminimizetime 1x: what esbuild covers is never the same twice.
func FuzzGenerate(f *testing.F) {
	f.Add([]byte(every))
	small := `{"openapi": "3.1.0", "components": {"schemas": {"F": {"type": "object"}, "A": %s}},
		"paths": {"/{p}": {"get": {"operationId": "a", "parameters": [{"name": "p", "in": "path", "schema": {"type": "string"}}],
		"responses": {"200": {}, "4": {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/F"}}}}}}}}}`
	for _, schema := range []string{
		`{"enum": ["*/", "\u2028", 1e400, null], "description": "*/ \n */"}`, `{"type": ["string", "null"], "default": {"` + "`${" + `": []}}`,
		`{"type": "object", "properties": {"__proto__": true, "a b": {"type": "array", "items": {"anyOf": [{}, {"const": "x"}]}}}}`,
		`{"type": "object", "additionalProperties": {"allOf": [{"$ref": "#/components/schemas/F"}, {"type": "object"}]}}`,
	} {
		f.Add(fmt.Appendf(nil, small, schema))
	}
	f.Fuzz(func(t *testing.T, description []byte) {
		client, err := generate(description)
		if err != nil {
			return
		}
		if again, err := generate(description); err != nil || !bytes.Equal(client, again) {
			t.Errorf("another client the second time: %v", err)
		}
		if parsed := api.Transform(string(client), api.TransformOptions{Loader: api.LoaderTS}); len(parsed.Errors) > 0 {
			t.Errorf("%s\n%s", parsed.Errors[0].Text, client)
		}
	})
}
