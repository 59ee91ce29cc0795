-- +goose Up
-- What speaks for outages and against them, in the order in which it is taken. taken is
-- the time at which it was, 0: it waits. What follows from it follows again.
CREATE TABLE outage_evidence (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      BIGINT NOT NULL,
    source  BIGINT NOT NULL, -- in the field, 0: not known
    kind    TEXT   NOT NULL,
    asset   TEXT   NOT NULL,
    gateway TEXT   NOT NULL,
    device  TEXT   NOT NULL,
    alarm   TEXT   NOT NULL,
    rule    TEXT   NOT NULL,
    actor   TEXT   NOT NULL,
    comment TEXT   NOT NULL,
    data    TEXT   NOT NULL, -- what else it says, JSON
    taken   BIGINT NOT NULL
);
CREATE INDEX outage_evidence_waits ON outage_evidence (seq) WHERE taken = 0;
CREATE INDEX outage_evidence_taken ON outage_evidence (taken, seq);
CREATE INDEX outage_evidence_about ON outage_evidence (kind, gateway, asset, device, seq);

-- Which evidence an outage rests on.
CREATE TABLE outage_reference (
    outage   TEXT   NOT NULL REFERENCES outage (id),
    evidence BIGINT NOT NULL,
    PRIMARY KEY (outage, evidence)
) WITHOUT ROWID;

CREATE INDEX outage_reference_evidence ON outage_reference (evidence);

-- How often outages were concluded from evidence: of two processes, one does.
CREATE TABLE outage_turn (
    one     BIGINT NOT NULL PRIMARY KEY, -- 1
    version BIGINT NOT NULL
);

-- +goose Down
DROP TABLE outage_turn;
DROP TABLE outage_reference;
DROP TABLE outage_evidence;
