-- Times are µs since 1970-01-01 UTC. Sequence numbers of an interval are
-- inclusive at both ends.

-- +goose Up
-- topic_id is what Kafka calls the topic: one that is deleted and made anew under
-- the same name has another. It is empty if the brokers give topics none.
CREATE TABLE consumer_offset (
    consumer  TEXT   NOT NULL,
    topic     TEXT   NOT NULL,
    partition BIGINT NOT NULL,
    topic_id  TEXT   NOT NULL,
    next      BIGINT NOT NULL,
    PRIMARY KEY (consumer, topic, partition)
) WITHOUT ROWID;

CREATE TABLE gateway (
    id          TEXT   NOT NULL PRIMARY KEY,
    site        TEXT   NOT NULL DEFAULT '',
    zone        TEXT   NOT NULL DEFAULT '',
    last_record BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- One stream of one epoch of one gateway: the numbers 0 to expected−1, as far
-- as the gateway has said how many there are.
CREATE TABLE sequence (
    id         INTEGER PRIMARY KEY,
    gateway    TEXT    NOT NULL REFERENCES gateway (id),
    epoch      TEXT    NOT NULL,
    stream     TEXT    NOT NULL,
    expected   BIGINT,
    duplicates BIGINT  NOT NULL DEFAULT 0,
    conflicts  BIGINT  NOT NULL DEFAULT 0,
    UNIQUE (gateway, epoch, stream)
);

CREATE TABLE received_interval (
    sequence  BIGINT NOT NULL REFERENCES sequence (id),
    seq_first BIGINT NOT NULL,
    seq_last  BIGINT NOT NULL,
    PRIMARY KEY (sequence, seq_first)
) WITHOUT ROWID;

CREATE TABLE received_record (
    sequence  BIGINT NOT NULL REFERENCES sequence (id),
    seq_first BIGINT NOT NULL,
    seq_last  BIGINT NOT NULL,
    checksum  BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (sequence, seq_first)
) WITHOUT ROWID;
CREATE INDEX received_record_at ON received_record (at);

CREATE TABLE declared_loss (
    sequence  BIGINT NOT NULL REFERENCES sequence (id),
    seq_first BIGINT NOT NULL,
    seq_last  BIGINT NOT NULL,
    reason    TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (sequence, seq_first, seq_last, reason)
) WITHOUT ROWID;

-- bundle is the id of the first series of up to 64 that are stored together.
CREATE TABLE series (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway TEXT    NOT NULL REFERENCES gateway (id),
    device  TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    unit    TEXT    NOT NULL,
    asset   TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    bundle  BIGINT  NOT NULL,
    UNIQUE (gateway, device, name, unit, kind)
);

CREATE TABLE table_signal (
    gateway      TEXT   NOT NULL REFERENCES gateway (id),
    signal_table TEXT   NOT NULL,
    signal       BIGINT NOT NULL,
    series       BIGINT NOT NULL REFERENCES series (id),
    PRIMARY KEY (gateway, signal_table, signal)
) WITHOUT ROWID;

CREATE TABLE parked_record (
    id           INTEGER PRIMARY KEY,
    gateway      TEXT    NOT NULL,
    epoch        TEXT    NOT NULL,
    seq_first    BIGINT  NOT NULL,
    seq_last     BIGINT  NOT NULL,
    signal_table TEXT    NOT NULL,
    payload      BLOB    NOT NULL,
    at           BIGINT  NOT NULL
);
CREATE INDEX parked_record_table ON parked_record (gateway, signal_table);

CREATE TABLE quarantine (
    id         INTEGER PRIMARY KEY,
    topic      TEXT    NOT NULL,
    partition  BIGINT  NOT NULL,
    log_offset BIGINT  NOT NULL,
    reason     TEXT    NOT NULL,
    detail     TEXT    NOT NULL,
    payload    BLOB,
    at         BIGINT  NOT NULL
);

-- One block of samples of one bundle within one minute. A minute has as many
-- as there were flushes. The index begins with the minute so that a flush
-- writes to one place of it, whatever the number of bundles.
CREATE TABLE chunk (
    id         INTEGER PRIMARY KEY,
    bundle     BIGINT  NOT NULL,
    minute     BIGINT  NOT NULL,
    first_time BIGINT  NOT NULL,
    last_time  BIGINT  NOT NULL,
    samples    BIGINT  NOT NULL,
    block      BLOB    NOT NULL
);
CREATE INDEX chunk_minute ON chunk (minute, bundle);

-- The newest sample of each series of a bundle, as one block.
CREATE TABLE latest (
    bundle BIGINT NOT NULL PRIMARY KEY,
    block  BLOB   NOT NULL
);

-- What the cloud concluded, in order.
CREATE TABLE fact (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT    NOT NULL,
    at   BIGINT  NOT NULL,
    data TEXT    NOT NULL
);

CREATE TABLE alarm (
    id              TEXT    NOT NULL PRIMARY KEY,
    gateway         TEXT    NOT NULL REFERENCES gateway (id),
    rule            TEXT    NOT NULL,
    asset           TEXT    NOT NULL,
    device          TEXT    NOT NULL,
    priority        TEXT    NOT NULL,
    summary         TEXT    NOT NULL,
    active          BOOLEAN NOT NULL,
    acknowledged    BOOLEAN NOT NULL,
    raised          BIGINT  NOT NULL,
    decided         BIGINT  NOT NULL,
    cleared         BIGINT,
    acknowledged_at BIGINT,
    acknowledged_by TEXT    NOT NULL,
    comment         TEXT    NOT NULL
);
CREATE INDEX alarm_raised ON alarm (raised);
CREATE INDEX alarm_open ON alarm (raised) WHERE active OR NOT acknowledged;

CREATE TABLE alarm_input (
    alarm    TEXT   NOT NULL REFERENCES alarm (id),
    position BIGINT NOT NULL,
    device   TEXT   NOT NULL,
    name     TEXT   NOT NULL,
    unit     TEXT   NOT NULL,
    value    DOUBLE PRECISION,
    quality  TEXT   NOT NULL,
    time     BIGINT NOT NULL,
    PRIMARY KEY (alarm, position)
) WITHOUT ROWID;

CREATE TABLE alarm_event (
    fact    BIGINT NOT NULL PRIMARY KEY REFERENCES fact (seq),
    alarm   TEXT   NOT NULL REFERENCES alarm (id),
    at      BIGINT NOT NULL,
    action  TEXT   NOT NULL,
    actor   TEXT   NOT NULL,
    comment TEXT   NOT NULL
);
CREATE INDEX alarm_event_alarm ON alarm_event (alarm, fact);

-- +goose Down
DROP TABLE alarm_event;
DROP TABLE alarm_input;
DROP TABLE alarm;
DROP TABLE fact;
DROP TABLE latest;
DROP TABLE chunk;
DROP TABLE quarantine;
DROP TABLE parked_record;
DROP TABLE table_signal;
DROP TABLE series;
DROP TABLE declared_loss;
DROP TABLE received_record;
DROP TABLE received_interval;
DROP TABLE sequence;
DROP TABLE gateway;
DROP TABLE consumer_offset;
