import { queueConformance } from "./queue.ts";
import { queueProperties } from "./queue-model.ts";
import { sqlitePlace } from "./sqlite-place.ts";

queueConformance("queue on SQLite", sqlitePlace);
queueProperties("queue on SQLite, any order of acts", sqlitePlace);
