-- +goose Up
-- Who wanted to write to a device, through which gateway, and what came of it, step
-- by step: the gateways' own record, which nothing here can have caused.
CREATE TABLE control_step (
    gateway   TEXT   NOT NULL,
    epoch     TEXT   NOT NULL,
    seq       BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    attempt   TEXT   NOT NULL,
    action    TEXT   NOT NULL,
    device    TEXT   NOT NULL,
    signal    TEXT   NOT NULL,
    asset     TEXT   NOT NULL,
    unit      TEXT   NOT NULL,
    origin    TEXT   NOT NULL,
    actor     TEXT   NOT NULL,
    requested TEXT   NOT NULL,
    old       TEXT   NOT NULL,
    read_back TEXT   NOT NULL,
    outcome   TEXT   NOT NULL,
    cause     TEXT   NOT NULL,
    detail    TEXT   NOT NULL,
    PRIMARY KEY (gateway, epoch, seq)
) WITHOUT ROWID;
CREATE INDEX control_step_recent ON control_step (at);
CREATE INDEX control_step_of_gateway ON control_step (gateway, at);

-- +goose Down
DROP TABLE control_step;
