-- +goose Up
-- Who wanted to write to a device, through which gateway, and what came of it, step
-- by step: the gateways' own record, which nothing here can have caused.
CREATE TABLE control_step (
    gateway   TEXT COLLATE "C" NOT NULL,
    epoch     TEXT COLLATE "C" NOT NULL,
    seq       BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    attempt   TEXT COLLATE "C" NOT NULL,
    action    TEXT COLLATE "C" NOT NULL,
    device    TEXT COLLATE "C" NOT NULL,
    signal    TEXT COLLATE "C" NOT NULL,
    asset     TEXT COLLATE "C" NOT NULL,
    unit      TEXT COLLATE "C" NOT NULL,
    origin    TEXT COLLATE "C" NOT NULL,
    actor     TEXT COLLATE "C" NOT NULL,
    requested TEXT COLLATE "C" NOT NULL,
    old       TEXT COLLATE "C" NOT NULL,
    read_back TEXT COLLATE "C" NOT NULL,
    outcome   TEXT COLLATE "C" NOT NULL,
    cause     TEXT COLLATE "C" NOT NULL,
    detail    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (gateway, epoch, seq)
);
CREATE INDEX control_step_recent ON control_step (at);
CREATE INDEX control_step_of_gateway ON control_step (gateway, at);

-- +goose Down
DROP TABLE control_step;
