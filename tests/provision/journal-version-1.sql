-- A journal as releases before the table of traffic wrote it, of https://api.encord.com and the account "me".
BEGIN TRANSACTION;
CREATE TABLE meta (
	name VARCHAR(32) NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('schema','1');
INSERT INTO "meta" VALUES('made_s','1795544261.7721314');
INSERT INTO "meta" VALUES('domain','https://api.encord.com');
INSERT INTO "meta" VALUES('account','me');
INSERT INTO "meta" VALUES('stamp_key','742fec0c20d8c4ffaf141157a4e15589');
INSERT INTO "meta" VALUES('checksum','447234430');
CREATE TABLE steps (
	seq INTEGER NOT NULL,
	identity BLOB NOT NULL,
	entry BLOB NOT NULL,
	place TEXT NOT NULL,
	"key" TEXT,
	kind VARCHAR(16) NOT NULL,
	title TEXT NOT NULL,
	project_hash TEXT,
	state VARCHAR(16) NOT NULL,
	status VARCHAR(16) NOT NULL,
	hash TEXT,
	name BLOB,
	request VARCHAR(64),
	details TEXT NOT NULL,
	code TEXT,
	message TEXT,
	started_s FLOAT NOT NULL,
	ended_s FLOAT,
	checksum BIGINT NOT NULL,
	PRIMARY KEY (seq),
	UNIQUE (identity)
);
INSERT INTO "steps" VALUES(1,X'01010101010101010101010101010101',X'02020202020202020202020202020202','m.jsonl:1','cats','project','Cats',NULL,'done','created','p-1',X'03030303030303030303030303030303','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','{"description": ""}',NULL,NULL,1000.0,1001.5,1974095041);
INSERT INTO "steps" VALUES(2,X'04040404040404040404040404040404',X'02020202020202020202020202020202','m.jsonl:1',NULL,'api_key','ci','p-1','in_doubt','in_doubt',NULL,NULL,NULL,'',NULL,'in doubt: no answer came',1002.0,1003.0,969988314);
CREATE INDEX steps_open ON steps (state) WHERE state IN ('intended', 'in_doubt');
CREATE INDEX steps_by_name ON steps (name) WHERE name IS NOT NULL;
COMMIT;
