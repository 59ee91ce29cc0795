package main

// every is a description that says everything that a client can express.
const every = `{
  "openapi": "3.1.0",
  "info": {"title": "Plant", "version": "7", "description": "Ends a comment: */ and goes on."},
  "components": {
    "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}, "session": {"type": "apiKey", "in": "cookie", "name": "s"}},
    "schemas": {
      "Fault": {"type": "object", "properties": {
        "title": {"type": "string"}, "detail": {"type": "string"},
        "errors": {"type": ["array", "null"], "items": {"type": "object", "properties": {"location": {"type": "string"}, "message": {"type": "string"}, "value": {"description": "Whatever it is"}}}}}},
      "Colour": {"type": "string", "enum": ["red", "green"], "description": "Of a lamp"},
      "Lamp": {"type": "object", "required": ["id", "colour", "since_us", "count", "power", "on", "notes", "labels", "last", "kind", "mixed", "nothing", "both", "odd-name"], "properties": {
        "id": {"type": "string"}, "colour": {"$ref": "#/components/schemas/Colour"}, "since_us": {"type": ["integer", "null"], "format": "int64"},
        "count": {"type": "integer", "format": "uint64"}, "power": {"type": "number"}, "on": {"type": "boolean"},
        "notes": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
        "labels": {"type": "object", "additionalProperties": {"type": "integer"}},
        "last": {"anyOf": [{"$ref": "#/components/schemas/Lamp"}, {"type": "null"}]},
        "kind": {"const": "lamp"}, "mixed": {"enum": [1, "two", true, null]},
        "nothing": {"type": "object", "additionalProperties": false},
        "both": {"allOf": [{"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}, {"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}]},
        "odd-name": {"type": "string", "default": "x"}, "maybe": {"type": "string", "deprecated": true}, "open": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true}, "x-changes": {"description": "A name like an extension's"}}}
    }
  },
  "paths": {
    "/lamps": {
      "get": {"operationId": "list-lamps", "parameters": [
          {"name": "colours", "in": "query", "explode": false, "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Colour"}}},
          {"name": "cursor", "in": "query", "schema": {"type": "string"}},
          {"name": "X-Place", "in": "header", "schema": {"type": "string"}},
          {"name": "s", "in": "cookie", "schema": {"type": "string"}}],
        "responses": {"200": {"content": {"application/json": {"schema": {"type": "object", "required": ["lamps", "next"], "properties": {
            "lamps": {"type": "array", "items": {"type": "string"}}, "next": {"type": ["string", "null"]}}}}}},
          "default": {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Fault"}}}}}},
      "post": {"operationId": "add-lamp", "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Lamp"}}}},
        "responses": {"201": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Lamp"}}}}}}
    },
    "/lamps/{id}/parts/{part}": {
      "put": {"operationId": "setPart", "parameters": [
          {"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}, {"name": "part", "in": "path", "required": true, "schema": {"type": "integer"}}],
        "requestBody": {"content": {"text/csv": {"schema": {"type": "string"}}}}, "responses": {"204": {}}}
    },
    "/table": {"get": {"operationId": "table", "responses": {"200": {"content": {"text/csv": {"schema": {"type": "string"}}}}, "500": {"content": {"text/plain": {"schema": {"type": "string"}}}}}}},
    "/enter": {"get": {"operationId": "enter", "parameters": [{"name": "to", "in": "query", "required": true, "schema": {"type": "string"}}], "responses": {"302": {}}}},
    "/news": {"get": {"operationId": "news", "parameters": [{"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer"}}],
      "responses": {"200": {"content": {"text/event-stream": {"schema": {"type": "array", "items": {"oneOf": [
        {"type": "object", "required": ["event", "id", "data"], "properties": {"event": {"const": "lit"}, "id": {"type": "integer"}, "data": {"$ref": "#/components/schemas/Colour"}}},
        {"type": "object", "required": ["event", "data"], "properties": {"event": {"const": "dark"}, "data": {"type": "array", "items": {"type": "integer"}}}}]}}}}}}}}
  }
}`

// uses is a program that compiles with the client of every, and only with its very types.
const uses = `
import * as plant from "@busbar/client";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
type Plain<T> = { [K in keyof T]: T[K] };
const is = <_ extends true>(): void => {};

is<Same<plant.Colour, "red" | "green">>();
is<Same<Plain<Omit<plant.Lamp, "last" | "both" | "open">>, {
  id: string; colour: "red" | "green"; since_us: number | null; count: number; power: number; on: boolean; notes: (string | null)[] | null;
  labels: Record<string, number>; kind: "lamp"; mixed: 1 | "two" | true | null; nothing: Record<string, never>; "odd-name": string; maybe?: string; "x-changes"?: unknown;
}>>();
is<Same<plant.Lamp["last"], plant.Lamp | null>>();
is<Same<plant.Lamp["both"], { a: string } & { b: string }>>();
is<Same<NonNullable<plant.Lamp["open"]>, { a?: string; [name: string]: unknown }>>();
is<Same<Parameters<typeof plant.listLamps>[1], plant.ListLampsParams>>();
is<Same<plant.ListLampsParams, { colours?: plant.Colour[] | undefined; cursor?: string | undefined; "X-Place"?: string | undefined }>>();
is<Same<plant.SetPartParams, { id: string; part: number }>>();
is<Same<Parameters<typeof plant.setPart>[2], BodyInit | undefined>>();
is<Same<ReturnType<typeof plant.setPart>, Promise<void>>>();
is<Same<ReturnType<typeof plant.table>, Promise<Response>>>();
is<Same<ReturnType<typeof plant.addLamp>, Promise<plant.Lamp>>>();
is<Same<ReturnType<typeof plant.news>, Promise<plant.Events<plant.NewsEvent>>>>();
is<Same<plant.NewsEvent, { event: "lit"; id: number; data: plant.Colour } | { event: "dark"; data: number[] }>>();
is<Same<plant.Problem, plant.Fault>>();

declare const process: { argv: string[] };
const server = { url: process.argv[2] + "/", token: "secret" };
const say = (...of: unknown[]) => console.log(JSON.stringify(of));
const caught = async (of: Promise<unknown>) => of.then(() => "nothing", (e: unknown) => e instanceof plant.Refusal ? [e.status, e.message, e.retryAfter, e.problem?.title] : String(e));

for await (const page of plant.pages(plant.listLamps, server, { colours: ["red", "green"], "X-Place": "hall" })) {
  say("page", page.lamps);
}
say(await caught(plant.listLamps(server, { cursor: "refused" })));
say(await caught(plant.table(server)));
say(await (await plant.addLamp(server, { id: "a/ä" } as plant.Lamp)).id);
say(await plant.setPart(server, { id: "a/ä?", part: 2 }, "1;2") ?? "nothing");
say(await caught(plant.setPart(server, { id: "..", part: 2 }, undefined)));
say(plant.enter(server, { to: "a b" }).replace(server.url, ""));
const end = new AbortController();
try {
  for await (const one of plant.follow(plant.news, server, {}, { signal: end.signal })) {
    if (one.event === "lit") {
      say(one.id, one.data);
      if (one.id === 5) {
        end.abort(new Error("enough"));
      }
    } else {
      say(one.data[0], "id" in one);
    }
  }
} catch (e) {
  say(String(e));
}
say(await caught((async () => {
  for await (const _ of plant.follow(plant.news, server, { "Last-Event-ID": 99 })) {}
})()));
`
