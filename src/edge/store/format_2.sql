ALTER TABLE attempts ADD COLUMN direction TEXT;
ALTER TABLE attempts ADD COLUMN kind TEXT;
ALTER TABLE attempts ADD COLUMN press TEXT;
ALTER TABLE attempts ADD COLUMN target INTEGER;
ALTER TABLE attempts ADD COLUMN position INTEGER;
ALTER TABLE attempts ADD COLUMN cycle INTEGER;
ALTER TABLE attempts ADD COLUMN joined_at INTEGER;
ALTER TABLE attempts ADD COLUMN confirmed_at INTEGER;
ALTER TABLE attempts ADD COLUMN joined_after_ms INTEGER;
ALTER TABLE attempts ADD COLUMN confirmed_after_ms INTEGER;
ALTER TABLE attempts ADD COLUMN outcome TEXT;
ALTER TABLE attempts ADD COLUMN use_inkbox_tts INTEGER;
ALTER TABLE attempts ADD COLUMN use_inkbox_stt INTEGER;
ALTER TABLE attempts ADD COLUMN service_use_inkbox_tts INTEGER;
ALTER TABLE attempts ADD COLUMN service_use_inkbox_stt INTEGER;
ALTER TABLE attempts ADD COLUMN digits INTEGER;
ALTER TABLE attempts ADD COLUMN openings INTEGER;
ALTER TABLE attempts ADD COLUMN said TEXT;
ALTER TABLE attempts ADD COLUMN spoken INTEGER;
ALTER TABLE attempts ADD COLUMN transcribed TEXT;

-- What was true of every attempt so far: one number a button, called once.
UPDATE attempts SET direction = 'outbound', kind = 'talk', press = token,
    target = 0, position = 0, cycle = 0;

CREATE TABLE openings (
    attempt INTEGER NOT NULL REFERENCES attempts (seq) ON DELETE CASCADE,
    after_ms INTEGER NOT NULL,
    door INTEGER NOT NULL,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    number TEXT,
    PRIMARY KEY (attempt, after_ms, door)
) STRICT, WITHOUT ROWID;

CREATE TABLE transcripts (
    attempt INTEGER NOT NULL REFERENCES attempts (seq) ON DELETE CASCADE,
    source TEXT NOT NULL,
    n INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    party TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (attempt, source, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE timelines (
    attempt INTEGER PRIMARY KEY REFERENCES attempts (seq) ON DELETE CASCADE,
    data BLOB NOT NULL
) STRICT;
