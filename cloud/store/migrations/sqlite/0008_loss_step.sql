-- +goose Up
-- Which thinning of its range a loss was; 0 if it was none, or the gateway didn't say.
CREATE TABLE device_loss_2 (
    quarter   BIGINT NOT NULL,
    device    BIGINT NOT NULL REFERENCES device (id),
    reason    TEXT   NOT NULL,
    sequence  BIGINT NOT NULL REFERENCES sequence (id),
    seq_first BIGINT NOT NULL,
    seq_last  BIGINT NOT NULL,
    step      BIGINT NOT NULL,
    samples   BIGINT NOT NULL,
    PRIMARY KEY (quarter, device, reason, sequence, seq_first, seq_last, step, samples)
) WITHOUT ROWID;
INSERT INTO device_loss_2 SELECT quarter, device, reason, sequence, seq_first, seq_last, 0, samples FROM device_loss;
DROP TABLE device_loss;
ALTER TABLE device_loss_2 RENAME TO device_loss;
CREATE INDEX device_loss_step ON device_loss (sequence, step, seq_first) WHERE step > 0;

-- +goose Down
CREATE TABLE device_loss_1 (
    quarter   BIGINT NOT NULL,
    device    BIGINT NOT NULL REFERENCES device (id),
    reason    TEXT   NOT NULL,
    sequence  BIGINT NOT NULL REFERENCES sequence (id),
    seq_first BIGINT NOT NULL,
    seq_last  BIGINT NOT NULL,
    samples   BIGINT NOT NULL,
    PRIMARY KEY (quarter, device, reason, sequence, seq_first, seq_last, samples)
) WITHOUT ROWID;
INSERT INTO device_loss_1 SELECT quarter, device, reason, sequence, seq_first, seq_last, samples FROM device_loss WHERE true ON CONFLICT DO NOTHING;
DROP TABLE device_loss;
ALTER TABLE device_loss_1 RENAME TO device_loss;
