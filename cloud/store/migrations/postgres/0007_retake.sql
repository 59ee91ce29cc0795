-- +goose Up
-- consumer is whoever set the record aside, and takes it again; topic_id is what
-- Kafka called its topic, empty if that isn't known. gateway is whom the record
-- names and key_id who is said to have signed it, empty if nobody. settled is when
-- the state was reached that ends it.
ALTER TABLE quarantine ADD COLUMN consumer TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE quarantine ADD COLUMN topic_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE quarantine ADD COLUMN gateway TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE quarantine ADD COLUMN key_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE quarantine ADD COLUMN state TEXT COLLATE "C" NOT NULL DEFAULT 'kept';
ALTER TABLE quarantine ADD COLUMN settled BIGINT;
UPDATE quarantine SET
    consumer = CASE WHEN topic LIKE '%.events' THEN 'alarm' ELSE 'ingest' END,
    key_id = CASE WHEN reason IN ('unknown-key', 'revoked-key') AND detail LIKE 'key %' THEN substr(detail, 5, 16) ELSE '' END,
    state = CASE WHEN reason = 'log-truncated' THEN 'gone' WHEN reason IN ('unknown-key', 'revoked-key') THEN 'keyless' ELSE 'kept' END;
CREATE INDEX quarantine_asked ON quarantine (consumer, topic, partition, log_offset) WHERE state = 'asked';
CREATE INDEX quarantine_keyless ON quarantine (key_id, consumer, topic, partition, log_offset) WHERE state = 'keyless';
CREATE INDEX quarantine_gateway ON quarantine (gateway);
CREATE INDEX quarantine_reason ON quarantine (consumer, reason);

-- What was done to keys after they were added.
CREATE TABLE gateway_key_change (
    key_id TEXT COLLATE "C" NOT NULL REFERENCES gateway_key (key_id),
    at     BIGINT NOT NULL,
    action TEXT COLLATE "C" NOT NULL, -- revoked, readmitted
    actor  TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL
);
INSERT INTO gateway_key_change (key_id, at, action, actor, reason)
    SELECT key_id, revoked_at, 'revoked', revoked_by, reason FROM gateway_key WHERE revoked_at IS NOT NULL;

-- A thinned record may overlap with others, and even have the numbers of one.
ALTER TABLE received_record ADD COLUMN thinned BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE received_record DROP CONSTRAINT received_record_pkey;
ALTER TABLE received_record ADD PRIMARY KEY (sequence, seq_first, seq_last, thinned);
CREATE INDEX received_record_thinned ON received_record (sequence, seq_first) WHERE thinned;

-- How many of the samples received are estimates, which stand for others.
ALTER TABLE received ADD COLUMN estimates BIGINT NOT NULL DEFAULT 0;

-- Whether samples that are stored already have to be left out.
ALTER TABLE parked_record ADD COLUMN merge BOOLEAN NOT NULL DEFAULT FALSE;

CREATE INDEX command_recent ON command (COALESCE(issued, answered));
CREATE INDEX command_of_gateway ON command (gateway, COALESCE(issued, answered));

-- +goose Down
DROP INDEX command_of_gateway;
DROP INDEX command_recent;
ALTER TABLE parked_record DROP COLUMN merge;
ALTER TABLE received DROP COLUMN estimates;
DROP INDEX received_record_thinned;
DELETE FROM received_record WHERE thinned;
ALTER TABLE received_record DROP CONSTRAINT received_record_pkey;
ALTER TABLE received_record DROP COLUMN thinned;
ALTER TABLE received_record ADD PRIMARY KEY (sequence, seq_first);
DROP TABLE gateway_key_change;
DROP INDEX quarantine_reason;
DROP INDEX quarantine_gateway;
DROP INDEX quarantine_keyless;
DROP INDEX quarantine_asked;
ALTER TABLE quarantine DROP COLUMN settled;
ALTER TABLE quarantine DROP COLUMN state;
ALTER TABLE quarantine DROP COLUMN key_id;
ALTER TABLE quarantine DROP COLUMN gateway;
ALTER TABLE quarantine DROP COLUMN topic_id;
ALTER TABLE quarantine DROP COLUMN consumer;
