-- Minutes for whoever reads with SQL. They are kept as blocks (docs/formats.md), in which
-- each column is an hour of one series at most, and so one frame, of good quality; the
-- functions read that, and no more of the format.

-- +goose Up
-- How many one bits a number begins with, from its lowest bit on.
-- +goose StatementBegin
CREATE FUNCTION busbar_ones(w BIGINT) RETURNS INTEGER LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN w & 1 = 0 THEN 0 WHEN w & 2 = 0 THEN 1 WHEN w & 4 = 0 THEN 2 WHEN w & 8 = 0 THEN 3 WHEN w & 16 = 0 THEN 4
        WHEN w & 32 = 0 THEN 5 WHEN w & 64 = 0 THEN 6 WHEN w & 128 = 0 THEN 7 WHEN w & 256 = 0 THEN 8 WHEN w & 512 = 0 THEN 9
        WHEN w & 1024 = 0 THEN 10 WHEN w & 2048 = 0 THEN 11 WHEN w & 4096 = 0 THEN 12 WHEN w & 8192 = 0 THEN 13
        WHEN w & 16384 = 0 THEN 14 WHEN w & 32768 = 0 THEN 15 ELSE 16 END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION busbar_unzigzag(z BIGINT) RETURNS BIGINT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((z >> 1) & 9223372036854775807) # -(z & 1)
$$;
-- +goose StatementEnd
-- The sum modulo 2^64.
-- +goose StatementBegin
CREATE FUNCTION busbar_sum(a BIGINT, b BIGINT) RETURNS BIGINT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (((a >> 32) + (b >> 32) + (((a & 4294967295) + (b & 4294967295)) >> 32)) << 32) | (((a & 4294967295) + (b & 4294967295)) & 4294967295)
$$;
-- +goose StatementEnd
-- The double of 64 bits that has these.
-- +goose StatementBegin
CREATE FUNCTION busbar_double(x BIGINT) RETURNS DOUBLE PRECISION LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN x < 0 THEN -1.0::float8 ELSE 1.0::float8 END * CASE (x >> 52) & 2047
        WHEN 2047 THEN CASE WHEN x & 4503599627370495 = 0 THEN 'Infinity'::float8 ELSE 'NaN'::float8 END
        WHEN 0 THEN (x & 4503599627370495)::float8 * 5e-324::float8
        ELSE ((x & 4503599627370495) | 4503599627370496)::float8 * power(2.0::float8, ((x >> 52) & 2047) / 2 - 538)
            * power(2.0::float8, ((x >> 52) & 2047) - ((x >> 52) & 2047) / 2 - 537) END -- in two steps, each within what a double holds
$$;
-- +goose StatementEnd

-- The minutes of that series of a block which is so far away from the first of its bundle.
-- +goose StatementBegin
CREATE FUNCTION busbar_minutes(block BYTEA, away BIGINT) RETURNS TABLE (time_us BIGINT, min_value DOUBLE PRECISION, max_value DOUBLE PRECISION,
    sum_value DOUBLE PRECISION, last_value DOUBLE PRECISION, last_text TEXT, samples BIGINT, valued BIGINT, good BIGINT)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path FROM CURRENT AS $$
DECLARE
    per_column CONSTANT BIGINT := 268435456;
    last_id CONSTANT BIGINT := 7 * per_column + away;
    powers CONSTANT DOUBLE PRECISION[] := ARRAY[1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    units CONSTANT BIGINT[] := ARRAY[1, 1000, 1000000, 60000000];
    v BIT VARYING; bytes INTEGER; len INTEGER; p INTEGER; -- the stream, its last bit first; how far it was read
    w BIGINT; z BIGINT; g INTEGER;
    total BIGINT; remaining BIGINT; id BIGINT := -1;
    -- Of each column: its type and exponent, layout, base and step;
    n INTEGER := 0; types INTEGER[] := '{}'; layouts BIGINT[] := '{}'; bases BIGINT[] := '{}'; steps BIGINT[] := '{}'; -- a step is null until it is asked for,
    places INTEGER[] := '{}'; sizes INTEGER[] := '{}'; place INTEGER; -- and then read from the place of its numbers
    ref_layout BIGINT; ref_place INTEGER; ref_count INTEGER; time_place INTEGER; time_count INTEGER;
    run INTEGER := 0; last_run INTEGER := 0; ref INTEGER;
    -- The sequences of times, one after another.
    times BIGINT[] := '{}'; firsts INTEGER[] := '{}'; counts INTEGER[] := '{}'; current INTEGER := 0; count INTEGER; first INTEGER;
    unit INTEGER := 0; time_layout BIGINT := 0; time_base BIGINT := 0; time_step BIGINT := 0;
    of_times BOOLEAN; wanted BOOLEAN;
    typ INTEGER; layout BIGINT; base BIGINT; step BIGINT; form INTEGER; width INTEGER; shift INTEGER; here BIGINT; length BIGINT; runs_to INTEGER;
    x BIGINT[]; texts TEXT[]; text_bytes BYTEA; i INTEGER; j INTEGER; at INTEGER; value DOUBLE PRECISION;
    time_of BIGINT[] := array_fill(NULL::bigint, ARRAY[60]); counted BIGINT[] := time_of; with_value BIGINT[] := time_of; well BIGINT[] := time_of;
    lowest DOUBLE PRECISION[] := array_fill(NULL::float8, ARRAY[60]); highest DOUBLE PRECISION[] := lowest; added DOUBLE PRECISION[] := lowest; latest DOUBLE PRECISION[] := lowest;
    worded TEXT[] := array_fill(NULL::text, ARRAY[60]);
BEGIN
    bytes := octet_length(block) - 4;
    IF substring(block FOR 4) <> '\x42424b01' THEN
        RAISE EXCEPTION 'it is no block of version 1';
    END IF;
    -- Hexadecimal digits backwards are its bytes backwards, with the halves of each exchanged.
    v := ('x' || reverse(encode(substring(block FOR bytes), 'hex')))::bit varying;
    v := ((v & ('x' || repeat('f0', bytes))::bit varying) >> 4) | ((v & ('x' || repeat('0f', bytes))::bit varying) << 4);
    v := B'0'::bit(128) || v;
    len := bit_length(v);
    p := 96;
    p := p + 1 + 5 * busbar_ones(substring(v FROM len - p - 31 FOR 32)::bigint); -- the table's version
    g := busbar_ones(substring(v FROM len - p - 31 FOR 32)::bigint);
    total := substring(v FROM len - p - 5 * g FOR 4 * g)::bigint;
    p := p + 5 * g + 1;
    remaining := total;
    WHILE remaining > 0 LOOP
        IF p > len - 128 THEN
            RAISE EXCEPTION 'the block is cut short';
        END IF;
        w := substring(v FROM len - p - 62 FOR 63)::bigint;
        -- Most columns are like the one before, whose numbers weren't shifted, and of another series.
        IF w & 31 = 31 AND n > run AND n > 2 * run - last_run - 1 AND shift = 0 AND form < 2 AND typ <> 1 AND typ <> 7
            AND (id + 1) & (per_column - 1) <> away THEN
            id := id + 1;
            EXIT WHEN id > last_id;
            g := busbar_ones(w >> 5);
            base := base + busbar_unzigzag(substring(v FROM len - p - 5 - 5 * g FOR 4 * g)::bigint);
            p := p + 6 + 5 * g;
            n := n + 1;
            types[n] := typ;
            layouts[n] := layout;
            bases[n] := base;
            steps[n] := NULL;
            places[n] := p;
            sizes[n] := count;
            p := p + (count - form) * width;
            remaining := remaining - count;
            CONTINUE;
        END IF;
        IF w & 1 = 1 THEN
            id := id + 1;
            p := p + 1;
        ELSE
            g := busbar_ones(w >> 1);
            id := id + substring(v FROM len - p - 1 - 5 * g FOR 4 * g)::bigint;
            p := p + 5 * g + 2;
        END IF;
        EXIT WHEN id > last_id;
        of_times := false;
        IF w & 7 <> 7 THEN
            IF substring(v FROM len - p FOR 1)::bigint = 1 THEN
                p := p + 1;
            ELSE
                last_run := run;
                run := n;
                p := p + 1;
                g := busbar_ones(substring(v FROM len - p - 31 FOR 32)::bigint);
                z := substring(v FROM len - p - 5 * g FOR 4 * g)::bigint;
                p := p + 5 * g + 1;
                IF z > 0 THEN
                    current := array_length(firsts, 1) - z + 1;
                ELSE
                    g := busbar_ones(substring(v FROM len - p - 31 FOR 32)::bigint);
                    z := substring(v FROM len - p - 5 * g FOR 4 * g)::bigint;
                    p := p + 5 * g + 1;
                    count := coalesce(counts[array_length(counts, 1)], total) + busbar_unzigzag(z);
                    IF count < 1 OR count > 64 THEN
                        RAISE EXCEPTION '% minutes of an hour', count;
                    END IF;
                    g := substring(v FROM len - p - 1 FOR 2)::integer;
                    p := p + 2;
                    IF g <> unit THEN
                        unit := g;
                        time_layout := 0;
                        time_base := 0;
                        time_step := 0;
                    END IF;
                    of_times := true;
                END IF;
            END IF;
        ELSE
            p := p + 2;
        END IF;
        -- A frame of times, if there is one, and then one of values.
        LOOP
            IF of_times THEN
                typ := 4;
                wanted := true;
                layout := time_layout;
                base := time_base;
                step := time_step;
                ref_layout := layout;
                ref_place := time_place;
                ref_count := time_count;
            ELSE
                count := counts[current];
                IF w & 7 <> 7 THEN
                    IF substring(v FROM len - p FOR 1)::bigint = 0 THEN
                        RAISE EXCEPTION 'a minute has a quality';
                    END IF;
                    p := p + 1;
                END IF;
                wanted := id & (per_column - 1) = away;
                ref := last_run + n - run;
                IF ref >= run THEN
                    ref := n - 1;
                END IF;
                IF ref >= 0 THEN
                    typ := types[ref + 1];
                    layout := layouts[ref + 1];
                    base := bases[ref + 1];
                    step := steps[ref + 1];
                    ref_layout := layout;
                    ref_place := places[ref + 1];
                    ref_count := sizes[ref + 1];
                ELSE
                    typ := 0;
                    layout := 0;
                    base := 0;
                    step := 0;
                END IF;
                IF substring(v FROM len - p FOR 1)::bigint = 1 THEN
                    p := p + 1;
                ELSE
                    typ := substring(v FROM len - p - 3 FOR 3)::integer;
                    p := p + 4;
                    IF typ = 2 OR typ = 3 THEN
                        typ := typ + 8 * substring(v FROM len - p - 3 FOR 4)::integer;
                        p := p + 4;
                    END IF;
                    layout := 0;
                    base := 0;
                    step := 0;
                END IF;
                IF typ = 7 THEN
                    texts := '{}';
                    g := busbar_ones(substring(v FROM len - p - 31 FOR 32)::bigint);
                    z := substring(v FROM len - p - 5 * g FOR 4 * g)::bigint;
                    p := p + 5 * g + 1;
                    FOR i IN 1..z LOOP
                        g := busbar_ones(substring(v FROM len - p - 31 FOR 32)::bigint);
                        length := substring(v FROM len - p - 5 * g FOR 4 * g)::bigint;
                        p := p + 5 * g + 1;
                        IF length > 256 THEN
                            RAISE EXCEPTION 'a text of % bytes', length;
                        END IF;
                        text_bytes := ''::bytea;
                        FOR j IN 1..length LOOP
                            text_bytes := text_bytes || set_byte('\x00', 0, substring(v FROM len - p - 7 FOR 8)::integer);
                            p := p + 8;
                        END LOOP;
                        texts := texts || convert_from(text_bytes, 'UTF8');
                    END LOOP;
                END IF;
            END IF;

            IF substring(v FROM len - p FOR 1)::bigint = 1 THEN
                p := p + 1;
            ELSIF typ = 1 THEN
                layout := substring(v FROM len - p - 15 FOR 15)::bigint;
                p := p + 16;
            ELSE
                layout := substring(v FROM len - p - 9 FOR 9)::bigint;
                p := p + 10;
            END IF;
            form := layout & 3;
            width := (layout >> 2) & 127;
            shift := layout >> 9;
            g := busbar_ones(substring(v FROM len - p - 31 FOR 32)::bigint);
            z := busbar_unzigzag(substring(v FROM len - p - 5 * g FOR 4 * g)::bigint);
            p := p + 5 * g + 1;
            IF form = 2 AND step IS NULL THEN
                width := (ref_layout >> 2) & 127;
                step := CASE WHEN ref_count < 2 THEN 0
                    WHEN ref_layout & 3 = 0 THEN busbar_sum(busbar_sum(substring(v FROM len - ref_place - 2 * width + 1 FOR width)::bigint,
                        ~substring(v FROM len - ref_place - width + 1 FOR width)::bigint), 1)
                    ELSE busbar_unzigzag(substring(v FROM len - ref_place - width + 1 FOR width)::bigint) END << (ref_layout >> 9)::integer;
                width := (layout >> 2) & 127;
            END IF;
            IF shift > 0 THEN
                base := (base >> shift) & ~((-1)::bigint << (64 - shift));
                step := step >> shift;
            END IF;
            base := busbar_sum(base, z);
            here := base;
            place := p;
            IF wanted THEN
                x := '{}';
            END IF;
            CASE form
            WHEN 0 THEN
                step := NULL;
                IF wanted THEN
                    FOR i IN 1..count LOOP
                        x[i] := busbar_sum(base, substring(v FROM len - p - i * width + 1 FOR width)::bigint);
                    END LOOP;
                END IF;
                p := p + count * width;
            WHEN 1 THEN
                step := NULL;
                IF wanted THEN
                    x[1] := base;
                    FOR i IN 2..count LOOP
                        here := busbar_sum(here, busbar_unzigzag(substring(v FROM len - p - (i - 1) * width + 1 FOR width)::bigint));
                        x[i] := here;
                    END LOOP;
                END IF;
                p := p + (count - 1) * width;
            WHEN 2 THEN
                g := busbar_ones(substring(v FROM len - p - 31 FOR 32)::bigint);
                step := busbar_sum(step, busbar_unzigzag(substring(v FROM len - p - 5 * g FOR 4 * g)::bigint));
                p := p + 5 * g + 1;
                IF wanted THEN
                    x[1] := base;
                    FOR i IN 2..count LOOP
                        here := busbar_sum(busbar_sum(here, step), substring(v FROM len - p - (i - 1) * width + 1 FOR width)::bigint);
                        x[i] := here;
                    END LOOP;
                END IF;
                p := p + (count - 1) * width;
            ELSE
                step := NULL;
                runs_to := 0;
                LOOP
                    g := busbar_ones(substring(v FROM len - p - 31 FOR 32)::bigint);
                    length := substring(v FROM len - p - 5 * g FOR 4 * g)::bigint + 1;
                    p := p + 5 * g + 1;
                    IF length > count - runs_to THEN
                        RAISE EXCEPTION 'a run is longer than its frame';
                    END IF;
                    IF wanted THEN
                        FOR i IN runs_to + 1..runs_to + length LOOP
                            x[i] := here;
                        END LOOP;
                    END IF;
                    runs_to := runs_to + length;
                    IF step IS NULL AND runs_to > 1 THEN
                        step := CASE WHEN length > 1 THEN 0 ELSE busbar_sum(busbar_sum(here, ~base), 1) END;
                    END IF;
                    EXIT WHEN runs_to = count;
                    g := busbar_ones(substring(v FROM len - p - 31 FOR 32)::bigint);
                    here := busbar_sum(here, busbar_unzigzag(substring(v FROM len - p - 5 * g FOR 4 * g)::bigint));
                    p := p + 5 * g + 1;
                END LOOP;
                step := coalesce(step, 0);
            END CASE;
            EXIT WHEN NOT of_times;
            time_layout := layout;
            time_base := base;
            time_step := step;
            time_place := place;
            time_count := count;
            firsts := firsts || coalesce(array_length(times, 1), 0);
            counts := counts || count;
            current := array_length(firsts, 1);
            FOR i IN 1..count LOOP
                times := times || x[i] * units[unit + 1];
            END LOOP;
            of_times := false;
        END LOOP;

        IF wanted THEN
            first := firsts[current];
            FOR i IN 1..count LOOP
                z := times[first + i];
                at := 1 + ((z / 60000000 % 60) + 60) % 60;
                time_of[at] := z;
                z := x[i] << shift;
                CASE id / per_column
                WHEN 4 THEN
                    worded[at] := texts[z + 1];
                WHEN 5 THEN
                    counted[at] := z;
                WHEN 6 THEN
                    with_value[at] := z;
                WHEN 7 THEN
                    well[at] := z;
                ELSE
                    value := CASE typ & 7 WHEN 1 THEN busbar_double(z) WHEN 2 THEN z::float8 / powers[1 + (typ >> 3)]
                        ELSE (z::float8 / powers[1 + (typ >> 3)])::float4::float8 END;
                    CASE id / per_column
                    WHEN 0 THEN
                        lowest[at] := value;
                    WHEN 1 THEN
                        highest[at] := value;
                    WHEN 2 THEN
                        added[at] := value;
                    ELSE
                        latest[at] := value;
                    END CASE;
                END CASE;
            END LOOP;
        END IF;
        n := n + 1;
        types[n] := typ;
        layouts[n] := layout;
        bases[n] := base << shift;
        steps[n] := step << shift;
        places[n] := place;
        sizes[n] := count;
        base := bases[n];
        remaining := remaining - count;
        EXIT WHEN id = last_id;
    END LOOP;
    FOR at IN 1..60 LOOP
        IF counted[at] IS NOT NULL THEN
            time_us := time_of[at];
            min_value := lowest[at];
            max_value := highest[at];
            sum_value := added[at];
            last_value := latest[at];
            last_text := worded[at];
            samples := counted[at];
            valued := with_value[at];
            good := well[at];
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION rollup_1min(of_series BIGINT, from_us BIGINT, to_us BIGINT) RETURNS TABLE (time_us BIGINT, min_value DOUBLE PRECISION, max_value DOUBLE PRECISION,
    mean_value DOUBLE PRECISION, last_value DOUBLE PRECISION, last_text TEXT, samples BIGINT, valued BIGINT, good_share DOUBLE PRECISION)
LANGUAGE sql STABLE ROWS 1440 AS $$
    SELECT m.time_us, m.min_value, m.max_value, m.sum_value / nullif(m.valued, 0), m.last_value, m.last_text, m.samples, m.valued, CAST(m.good AS DOUBLE PRECISION) / m.samples
    FROM series s JOIN rollup_minutes r ON r.bundle = s.bundle CROSS JOIN LATERAL busbar_minutes(r.block, s.id - s.bundle) m
    WHERE s.id = of_series AND r.hour >= floor(from_us / 3600000000.0)::bigint AND r.hour <= floor((to_us - 1) / 3600000000.0)::bigint
        AND m.time_us >= from_us AND m.time_us < to_us
    ORDER BY r.hour, m.time_us
$$;
-- +goose StatementEnd

CREATE VIEW rollup_1min AS
    SELECT s.gateway, s.device, s.name, s.unit, s.kind, s.asset, s.id AS series, m.time_us, m.min_value, m.max_value,
        m.sum_value / nullif(m.valued, 0) AS mean_value, m.last_value, m.last_text, m.samples, m.valued, CAST(m.good AS DOUBLE PRECISION) / m.samples AS good_share, r.hour
    FROM series s JOIN rollup_minutes r ON r.bundle = s.bundle CROSS JOIN LATERAL busbar_minutes(r.block, s.id - s.bundle) m;

-- +goose Down
DROP VIEW rollup_1min;
DROP FUNCTION rollup_1min(BIGINT, BIGINT, BIGINT);
DROP FUNCTION busbar_minutes(BYTEA, BIGINT);
DROP FUNCTION busbar_double(BIGINT);
DROP FUNCTION busbar_sum(BIGINT, BIGINT);
DROP FUNCTION busbar_unzigzag(BIGINT);
DROP FUNCTION busbar_ones(BIGINT);
