/** Where the cloud is, and who asks. */
export interface Server {
  /** Such as https://busbar.example.org; left out: where the page has come from. */
  url?: string | undefined;
  /** A token, shown with each question. Without one a browser shows the cookie of its session. */
  token?: string | undefined;
  /** Asks in place of the platform's fetch. */
  fetch?: typeof fetch | undefined;
}

export interface Options {
  /** Gives up: what is asked rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** An answer that isn't a success. Its message is what the server says about it. */
export class Refusal extends Error {
  /** Of HTTP. */
  readonly status: number;
  /** What the server says, unless something between has answered. */
  readonly problem: Problem | undefined;
  /** After how many seconds asking again may help, if it says so. */
  readonly retryAfter: number | undefined;

  constructor(status: number, message: string, problem?: Problem, retryAfter?: number) {
    super(message);
    this.name = "Refusal";
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

async function refusal(response: Response): Promise<Refusal> {
  const { status, headers } = response;
  const type = headers.get("Content-Type") ?? "";
  let message = `${status} ${response.statusText}`.trim();
  let problem: Problem | undefined;
  try {
    const text = await response.text();
    if (/^application\/(problem\+)?json\b/.test(type)) {
      problem = JSON.parse(text) as Problem;
      const faults = (problem.errors ?? []).map((e) => [e.location, e.message].filter(Boolean).join(": "));
      message = [problem.detail ?? problem.title ?? message, ...faults].join("; ");
    } else if (type.startsWith("text/plain")) {
      message = text.trim() || message;
    }
  } catch {
    // The status alone has to do.
  }
  return new Refusal(status, message, problem, Number(headers.get("Retry-After")) || undefined);
}

async function ask(server: Server, method: string, path: string, options: Options = {}, content: { headers?: Record<string, string>; body?: BodyInit | null | undefined } = {}): Promise<Response> {
  const headers = { ...(server.token ? { Authorization: `Bearer ${server.token}` } : {}), ...content.headers };
  const response = await (server.fetch ?? fetch)((server.url ?? "").replace(/\/+$/, "") + path, { method, headers, body: content.body ?? null, signal: options.signal ?? null });
  if (!response.ok) {
    throw await refusal(response);
  }
  return response;
}

async function answered<T>(response: Response): Promise<T> {
  return (await response.json()) as T;
}

/** One part of a path. Those with a meaning of their own in paths can't be sent. */
function part(value: unknown): string {
  const text = String(value);
  if (/^\.{0,2}$/.test(text)) {
    throw new RangeError(`"${text}" can't be part of a path`);
  }
  return encodeURIComponent(text);
}

function query<P extends object>(params: P, ...names: (keyof P & string)[]): string {
  const text = new URLSearchParams(given(params, names)).toString();
  return text && `?${text}`;
}

function given<P extends object>(params: P, names: (keyof P & string)[]): Record<string, string> {
  return Object.fromEntries(names.filter((name) => params[name] !== undefined).map((name) => [name, String(params[name])]));
}

/**
 * Every page of a list, each asked for when the one before has been dealt with:
 * `for await (const page of pages(list…, server, params))`.
 */
export async function* pages<P extends { cursor?: string | undefined }, A extends { next: string | null }>(
  list: (server: Server, params: P, options?: Options) => Promise<A>,
  server: Server,
  params: NoInfer<P>,
  options?: Options,
): AsyncGenerator<A, void, undefined> {
  for (let cursor = params.cursor; ; ) {
    const page: A = await list(server, { ...params, cursor }, options);
    yield page;
    if (page.next === null) {
      return;
    }
    cursor = page.next;
  }
}

// The server says something at least every 15 s.
const silenceMs = 60_000;

/** What comes over one connection, until it ends. It can be read once. */
export class Events<E> implements AsyncIterable<E> {
  /** Where to go on after the connection, as the server has said so far. */
  lastId: string | undefined;
  /** When to come again, as the server has said. */
  retryMs: number | undefined;

  readonly #response: Response;
  readonly #names: readonly string[];

  constructor(response: Response, names: readonly string[]) {
    this.#response = response;
    this.#names = names;
  }

  /** Rejects with a TypeError if the connection is lost, or nothing comes for a minute. */
  async *[Symbol.asyncIterator](): AsyncGenerator<E, void, undefined> {
    let event = "message";
    let id: string | undefined;
    let data: string[] = [];
    for await (const line of lines(this.#response)) {
      const [, field, value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      if (line === "") {
        this.lastId = id ?? this.lastId;
        if (data.length > 0 && this.#names.includes(event)) {
          yield { event, ...(id === undefined ? {} : { id: Number(id) }), data: JSON.parse(data.join("\n")) as unknown } as E;
        }
        event = "message";
        id = undefined;
        data = [];
      } else if (field === "event") {
        event = value;
      } else if (field === "data") {
        data.push(value);
      } else if (field === "id") {
        id = value;
      } else if (field === "retry") {
        this.retryMs = Number(value) || this.retryMs;
      }
    }
  }
}

async function* lines(response: Response): AsyncGenerator<string, void, undefined> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let half = ""; // a CR that the last piece ended with: the first half of CR LF, or a whole end
  try {
    while (reader) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const silence = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new TypeError("nothing comes any more")), silenceMs);
      });
      const { done, value } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
      if (done) {
        if (half) {
          yield rest;
        }
        return;
      }
      const text = half + value;
      half = text.endsWith("\r") ? "\r" : "";
      const found = text.slice(0, text.length - half.length).split(/\r\n|\r|\n/);
      found[0] = rest + found[0];
      rest = found.pop() ?? "";
      yield* found;
    }
  } finally {
    // The connection is given up; that it is lost already is nothing to say.
    reader?.cancel().catch(() => undefined);
  }
}

/**
 * What comes over one connection after the other, without a gap: each goes on
 * where the one before has ended. It goes on until options.signal gives up or
 * the server refuses.
 */
export async function* follow<P extends { "Last-Event-ID"?: number | undefined }, E>(
  stream: (server: Server, params: P, options?: Options) => Promise<Events<E>>,
  server: Server,
  params: NoInfer<P>,
  options: Options = {},
): AsyncGenerator<E, void, undefined> {
  if (server.url) {
    new URL(server.url); // or else it would be tried on and on
  }
  let at = params["Last-Event-ID"];
  for (let failures = 0; ; failures++) {
    let events: Events<E> | undefined;
    try {
      events = await stream(server, { ...params, "Last-Event-ID": at }, options);
      for await (const event of events) {
        at = events.lastId === undefined ? at : Number(events.lastId);
        yield event;
        options.signal?.throwIfAborted();
      }
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof TypeError) && !(error instanceof Refusal && (error.status === 429 || error.status >= 500))) {
        throw error;
      }
    }
    if (events) {
      failures = 0;
      at = events.lastId === undefined ? at : Number(events.lastId);
    }
    await sleep(events?.retryMs ?? Math.min(1000 * 2 ** failures, 30_000) * (0.5 + Math.random() / 2), options.signal);
  }
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    signal?.addEventListener("abort", aborted);
    if (signal?.aborted) {
      aborted();
    }
  });
}
